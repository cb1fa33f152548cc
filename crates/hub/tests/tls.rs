//! A server with a certificate that nobody vouches for is refused.
#![allow(missing_docs)]

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use ukulele_hub::{Check, File, Hub, Model, Options};

static FILES: [File; 1] =
    [File { name: "w.bin", url: "https://weights.example/w.bin", mebibytes: None, check: Check::First }];

#[test]
fn a_certificate_that_signs_itself_is_refused() {
    let certificate = CertificateDer::from(include_bytes!("tls/self-signed.der").to_vec());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(include_bytes!("tls/self-signed.key.der").to_vec()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let mirror = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = ServerConnection::new(config.clone()).unwrap();
            let mut tls = Stream::new(&mut connection, &mut stream);
            let _ = tls.read(&mut [0; 4096]);
            let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nyes");
        }
    });
    let folder = std::env::temp_dir().join(format!("ukulele-hub-tls-{}", std::process::id()));
    let hub = Hub::new(Options {
        mirror: Some(mirror),
        attempts: 2,
        pause: Duration::from_millis(10),
        patience: Duration::from_secs(5),
        ..Options::new(&folder)
    });
    let model = Model { name: "model", about: "a test", files: &FILES };
    let error = hub.pull_model(&model, &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
    assert!(!folder.join("model/w.bin").exists());
    std::fs::remove_dir_all(folder).unwrap();
}
