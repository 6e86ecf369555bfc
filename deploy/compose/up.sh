#!/usr/bin/env bash
# From nothing to a Yunhan that serves: secrets, image, all services. Again: brings it up to date.
# Arguments go to `docker compose up`, e.g. ./up.sh --scale worker=4
set -euo pipefail
cd "$(dirname "$0")"

./secrets.sh
docker compose up --detach --build --wait "$@"
endpoint=$(docker compose exec -T gateway printenv YUNHAN_PUBLIC_URL </dev/null)
echo "Yunhan serves at $endpoint"
echo "Its management key: docker compose exec gateway yunhan keys"
