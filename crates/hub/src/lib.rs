//! The well-known files of pretrained weights: a table of where they are, and a client that fetches them and trusts nothing.
//!
//! ```no_run
//! let hub = ukulele_hub::Hub::from_environment()?;
//! let path = hub.pull("resnet50", &mut |_| true)?;           // fetched once, then from the cache
//! let weights = weights_import::open(path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A file comes over https alone, into `NAME.partial`, from which an interrupted fetch goes on; it gets its name when its size
//! and hash are those that its publisher states. TLS is rustls with graviola, which needs no C compiler; roots are Mozilla's,
//! or those of `SSL_CERT_FILE`.
#![forbid(unsafe_code)]

mod cache;
mod check;
mod client;
mod error;
mod fetch;
mod table;

pub use cache::{Hub, Options};
pub use check::Check;
pub use error::{Error, Result};
pub use fetch::Progress;
pub use table::{File, MODELS, Model, find, near};
