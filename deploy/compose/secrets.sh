#!/usr/bin/env bash
# Makes what is missing of the secrets of the Compose form, in secrets/ beside this file. What is there is
# never changed. Needs openssl.
#
# The folder is its owner's alone (0700). The files can be read by everybody who gets there (0444): Compose
# mounts each into the containers that name it, whose programs run as other users.
set -euo pipefail
cd "$(dirname "$0")"

mkdir -p secrets
chmod 0700 secrets
cd secrets

# keep FILE COMMAND...: what the command prints becomes the file, unless there is one.
keep() {
    local file=$1
    shift
    [[ -s "$file" ]] && return
    "$@" >"$file.new"
    chmod 0444 "$file.new"
    mv "$file.new" "$file"
    printf 'made %s\n' "secrets/$file"
}

# RabbitMQ's form of a password: base64(salt, SHA-256(salt, password)).
password_hash() {
    local salt=$1.salt
    openssl rand 4 >"$salt"
    { cat "$salt"; { cat "$salt"; tr -d '\n' <"$1"; } | openssl dgst -sha256 -binary; } | openssl base64 -A
    rm "$salt"
}

# `yunhan` is the user of gateways and workers; `producer` can ask for jobs by message, and nothing else.
definitions() {
    local ours theirs
    ours=$(password_hash queue.password)
    theirs=$(password_hash producer.password)
    cat <<JSON
{
  "users": [
    {"name": "yunhan", "password_hash": "$ours", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []},
    {"name": "producer", "password_hash": "$theirs", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []}
  ],
  "vhosts": [{"name": "/"}],
  "permissions": [
    {"user": "yunhan", "vhost": "/", "configure": "^yunhan\\\\.", "write": "^(yunhan\\\\.|amq\\\\.default\$)", "read": "^yunhan\\\\."},
    {"user": "producer", "vhost": "/", "configure": "^\$", "write": "^yunhan\\\\.intake\$", "read": "^\$"}
  ]
}
JSON
}

keep master.key openssl rand -base64 32
keep queue.password openssl rand -hex 24
keep producer.password openssl rand -hex 24
keep documents.password openssl rand -hex 24
keep documents-root.password openssl rand -hex 24
keep documents.key openssl rand -base64 96
keep files.secret openssl rand -hex 20
keep rabbitmq.definitions.json definitions
