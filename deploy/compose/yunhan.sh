#!/usr/bin/env bash
# The command line, in a container, against this installation and with its management key:
#   deploy/compose/yunhan.sh deploy examples/hello --space ID
# The current folder is mounted read-only, so name files below it. It speaks to YUNHAN_PUBLIC_URL.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

gateways=$(cd "$here" && docker compose ps --quiet gateway)
gateway=${gateways%%$'\n'*}
[[ -n "$gateway" ]] || { echo "no gateway runs; start it with $here/up.sh" >&2; exit 1; }
image=$(docker inspect --format '{{.Config.Image}}' "$gateway")
# Reads the gateway's data directory, where the key is, and your files, whoever owns them; nothing else.
exec docker run --rm --interactive --network host --read-only --tmpfs /tmp:mode=1777 \
    --user 0:0 --cap-drop ALL --cap-add DAC_READ_SEARCH --security-opt no-new-privileges \
    --volumes-from "$gateway:ro" --volume "$PWD:$PWD:ro" --workdir "$PWD" "$image" "$@"
