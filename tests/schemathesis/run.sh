#!/bin/bash
# Asks an appliance everything that its OpenAPI document says can be asked, and much that it says can't: no answer may be a
# server error, or other than the document describes.
#
#   run.sh URL TOKEN [EXAMPLES]
#
# URL is where the appliance is served, TOKEN an administrator's; with EXAMPLES, so many requests are made up for each
# operation. The same requests are made each time.
set -euo pipefail

url=$1
token=$2
examples=${3:-3}

# Restarting would end the run; these two would end the token's owner.
unasked=(/api/v1/system/restart /api/v1/logout /api/v1/password)
# What is right by its shape may still make no sense, such as a policy between zones that there are none of: those are
# refused, which `positive_data_acceptance` would not have. What is asked of nobody in particular needs no login.
unchecked=positive_data_acceptance,ignored_auth

exec "$(dirname "$0")/schemathesis.sh" run "$url/api/v1/openapi.json" \
	--tls-verify false --header "Authorization: Bearer $token" \
	--seed 20 --max-examples "$examples" --no-shrink --continue-on-failure \
	--phases examples,coverage,fuzzing --generation-database none --request-timeout 20 \
	--exclude-checks "$unchecked" --warnings off --suppress-health-check all \
	$(printf -- '--exclude-path %s ' "${unasked[@]}")
