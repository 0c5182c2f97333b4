#!/usr/bin/env bash
# Makes the certificates that the tests show: a root, one of the service and one of a client, for a
# hundred years. Their keys are public and good for nothing else.
set -euo pipefail
cd "$(dirname "$0")"
root=(-CA root.pem -CAkey root.key -days 36500)
openssl ecparam -name prime256v1 -genkey -noout -out root.key
openssl req -x509 -key root.key -subj "/CN=tests of sessile" -days 36500 -out root.pem \
    -addext basicConstraints=critical,CA:TRUE
for name in service other client; do
    openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$name.key"
    openssl req -new -key "$name.key" -subj "/CN=$name" -addext subjectAltName=DNS:localhost |
        openssl x509 -req "${root[@]}" -copy_extensions copy -out "$name.pem"
done
rm root.key
