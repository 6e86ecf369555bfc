#!/bin/sh
# Makes the bucket of Yunhan unless it is there. The password reaches mc by its environment.
set -eu
MC_HOST_store="http://yunhan:$(cat /run/secrets/files_secret)@minio:9000"
export MC_HOST_store MC_CONFIG_DIR=/tmp/mc
mc mb --ignore-existing store/yunhan
