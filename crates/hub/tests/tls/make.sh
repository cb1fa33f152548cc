#!/usr/bin/env bash
# A certificate that signs itself, and its key: worth nothing, only to be refused by the test. Ran with OpenSSL 3.0.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=localhost \
    -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -keyout key.pem -out cert.pem
openssl x509 -in cert.pem -outform DER -out self-signed.der
openssl pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out self-signed.key.der
rm key.pem cert.pem
