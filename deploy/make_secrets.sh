#!/bin/bash
# Makes the secrets that docker-compose.yml reads, fresh and random, into deploy/secrets (or the folder given). Never overwrites one that is there.
#
#   deploy/make_secrets.sh [FOLDER]
#
# The folder is closed to other users; the files inside are readable, because Compose mounts them one by one for processes that run as another user.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/secrets}
if [ -e "$folder/master_keys" ]; then
    echo "$folder holds secrets already: nothing done" >&2
    exit 1
fi
umask 077
mkdir -p "$folder"

password() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }
write() { printf '%s\n' "$2" > "$folder/$1"; }
bytes() { printf '%b' "$(sed 's/../\\x&/g' <<< "$1")"; }
# RabbitMQ keeps base64 of a 4-byte salt and sha256(salt, password)
rabbitmq_hash() {
    local salt digest
    salt=$(head -c 4 /dev/urandom | od -An -tx1 | tr -d ' \n')
    digest=$({ bytes "$salt"; printf '%s' "$1"; } | sha256sum | cut -d ' ' -f 1)
    bytes "$salt$digest" | base64
}

write master_keys "k$(date +%Y%m%d):$(head -c 32 /dev/urandom | base64)"

owner=$(password)
write postgres_owner_password "$owner"
write database_url_owner "postgres://frontdesk_owner:$owner@postgres:5432/frontdesk"
: > "$folder/postgres_login_passwords"
for user in ingress worker operator; do
    login=$(password)
    printf '%s %s\n' "$user" "$login" >> "$folder/postgres_login_passwords"
    write "database_url_$user" "postgres://frontdesk_${user}_login:$login@postgres:5432/frontdesk"
done

hashes=""
for user in ingress worker monitor admin; do
    login=$(password)
    write "amqp_url_$user" "amqp://$user:$login@rabbitmq:5672/frontdesk"
    hashes="$hashes $user=$(rabbitmq_hash "$login")"
done
# the shipped definitions, with the hashes in place of the empty ones
awk -v hashes="$hashes" '
    BEGIN { n = split(hashes, list, " "); for (i = 1; i <= n; i++) { at = index(list[i], "="); hash[substr(list[i], 1, at - 1)] = substr(list[i], at + 1) } }
    match($0, /"name": "[a-z]+"/) { name = substr($0, RSTART + 9, RLENGTH - 10) }
    /"password_hash": ""/ { sub(/"password_hash": ""/, "\"password_hash\": \"" hash[name] "\"") }
    { print }
' "$here/rabbitmq/definitions.json" > "$folder/rabbitmq_definitions.json"

chmod 0444 "$folder"/*
echo "Secrets made in $folder. Keep master_keys safe: without it no stored secret can be opened."
