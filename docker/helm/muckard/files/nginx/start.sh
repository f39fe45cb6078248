#!/bin/sh
# The gateway in a container: fills the templates in from the environment and starts nginx (docker-compose.microservices.yml).
# `start.sh -t` only checks the configuration.
set -eu

files=${GATEWAY_FILES:=/etc/nginx/muckard}
run=${GATEWAY_RUN:=/tmp}

# The names of services are resolved while nginx runs, by the server that the container itself uses; an IPv6 address
# stands in brackets.
nameserver=${GATEWAY_NAMESERVER:-$(awk '$1 == "nameserver" { print index($2, ":") ? "[" $2 "]" : $2; exit }' /etc/resolv.conf)}
GATEWAY_RESOLVER="resolver $nameserver valid=${GATEWAY_NAMES_VALID:-5s} ipv6=off; resolver_timeout 2s;"
GATEWAY_UPSTREAMS=

GATEWAY_TRUSTED_PROXIES= GATEWAY_TRUSTED_PEERS=
for network in $(echo "${MUCKARD_TRUSTED_PROXIES:-}" | tr ',' ' '); do
    case $network in
        */0) echo "MUCKARD_TRUSTED_PROXIES holds $network, which is everybody; name the proxies." >&2; exit 1 ;;
        *[!0-9a-fA-F.:/]*) echo "MUCKARD_TRUSTED_PROXIES holds '$network', which is no network; write it like 10.0.0.0/8." >&2; exit 1 ;;
    esac
    GATEWAY_TRUSTED_PROXIES="$GATEWAY_TRUSTED_PROXIES set_real_ip_from $network;"
    GATEWAY_TRUSTED_PEERS="$GATEWAY_TRUSTED_PEERS $network 1;"
done

# From 1.27.3 on nginx resolves the names of upstreams while it runs, too: with kept connections to each service, as many as
# dev/config/gateway.py says. An older one resolves what a variable says, and connects for each request.
oldest=$(printf '%s\n1.27.3\n' "$(nginx -v 2>&1 | sed 's#.*/##; s/[^0-9.].*//')" | sort -V | head -n 1)
if [ "$oldest" = 1.27.3 ]; then
    for kept in user=16 kraken=32 bot=4 staff=8 paper=4 console=16 stream=4 flower=2; do
        service=${kept%=*} variable=$(echo "${kept%=*}" | tr 'a-z' 'A-Z')_UPSTREAM
        eval "address=\${$variable:?}; $variable=service_$service; export $variable"
        GATEWAY_UPSTREAMS="$GATEWAY_UPSTREAMS
    upstream service_$service { zone service_$service 64k; server $address resolve max_fails=0; keepalive ${kept#*=}; keepalive_timeout 30s; }"
    done
fi

# The port for plain HTTP and, where there is a certificate, the one for TLS: then the first only sends clients on.
: "${GATEWAY_PLAIN_LISTEN:=8080}" "${GATEWAY_TLS_LISTEN:=8443}"
GATEWAY_LISTEN=$GATEWAY_PLAIN_LISTEN GATEWAY_TLS= GATEWAY_REDIRECT=
GATEWAY_PUBLIC_ORIGIN=${MUCKARD_PUBLIC_URL:-http://localhost:8080}
GATEWAY_PUBLIC_ORIGIN=${GATEWAY_PUBLIC_ORIGIN%/}
certificate=${MUCKARD_TLS_CERTIFICATE_FILE:-/run/secrets/tls_certificate} key=${MUCKARD_TLS_KEY_FILE:-/run/secrets/tls_key}
if [ -f "$certificate" ]; then
    GATEWAY_LISTEN="$GATEWAY_TLS_LISTEN ssl"
    GATEWAY_TLS="ssl_certificate $certificate; ssl_certificate_key $key; include $files/tls.conf;"
    GATEWAY_REDIRECT="include $run/redirect.conf;"
fi
: "${GATEWAY_HSTS_SECONDS:=31536000}" "${GATEWAY_WORKERS:=auto}"

export GATEWAY_FILES GATEWAY_RUN GATEWAY_RESOLVER GATEWAY_UPSTREAMS GATEWAY_TRUSTED_PROXIES GATEWAY_TRUSTED_PEERS
export GATEWAY_LISTEN GATEWAY_PLAIN_LISTEN GATEWAY_TLS GATEWAY_REDIRECT GATEWAY_PUBLIC_ORIGIN GATEWAY_HSTS_SECONDS

GATEWAY_FLOWER_AUTHORIZATION=
password=${MUCKARD_FLOWER_PASSWORD_FILE:-/run/secrets/flower_password}
if [ -f "$password" ]; then
    GATEWAY_FLOWER_AUTHORIZATION="Basic $(printf 'operator:%s' "$(cat "$password")" | base64 | tr -d '\n')"
fi
export GATEWAY_WORKERS GATEWAY_FLOWER_AUTHORIZATION
umask 077

# Only our own names are filled in: nginx's variables look the same to envsubst.
for file in nginx redirect; do
    names=$(grep -oE '\$\{[A-Z_]+\}' "$files/$file.conf.template" | sort -u)
    for name in $names; do
        variable=${name#??}
        eval "[ -n \"\${${variable%?}+set}\" ]" || { echo "$file.conf.template asks for $name, which nothing gives." >&2; exit 1; }
    done
    envsubst "$(echo "$names" | tr '\n' ' ')" < "$files/$file.conf.template" > "$run/$file.conf"
done
exec nginx -e stderr -c "$run/nginx.conf" "$@"
