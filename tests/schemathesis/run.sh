#!/bin/bash
# Asks an appliance everything that its OpenAPI document says can be asked, and much that it says can't: no answer may be a
# server error, or other than the document describes.
#
#   run.sh URL [EXAMPLES]
#
# URL is where the appliance is served to an administrator who needs no credentials: requests that are made up at random
# revoke any token sooner or later. With EXAMPLES, so many are made up for each operation; they are the same each time.
set -euo pipefail

url=$1
examples=${2:-3}

# Restarting would end the run, and streams have no end.
unasked='^/api/v1/(system/restart|(events|rates)/stream)$'
# What is right by its shape may still make no sense, such as a policy between zones that there are none of: those are
# refused, which `positive_data_acceptance` would not have. Nobody needs credentials here.
unchecked=positive_data_acceptance,ignored_auth

here=$(dirname "$0")
exec "$here/schemathesis.sh" --config-file "$here/schemathesis.toml" run "$url/api/v1/openapi.json" \
	--seed 20 --max-examples "$examples" --no-shrink --continue-on-failure \
	--phases examples,coverage,fuzzing --generation-database none --request-timeout 20 \
	--exclude-checks "$unchecked" --warnings off --suppress-health-check all --no-color \
	--exclude-path-regex "$unasked"
