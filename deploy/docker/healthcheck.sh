#!/usr/bin/env bash
# Whether the service in this container is ready. Needs nothing but bash.
# As the service finds its port: a number by its own name, by the other service's, or the default.
port=8000
for given in "${PORT:-}" "${SESSILE_PORT:-}"; do
    case $given in
        "" | *[!0-9]*) ;;
        *) port=$given ;;
    esac
done
exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
printf 'GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n' >&3
read -r -t 4 _ status _ <&3
[ "$status" = 200 ]
