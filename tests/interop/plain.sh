#!/usr/bin/env bash
# A plain JSON-RPC peer, without a JSON tool: it counts its requests.
count=0
while IFS= read -r line; do
    [[ $line =~ \"id\":([0-9]+) ]] || continue
    count=$((count + 1))
    printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "${BASH_REMATCH[1]}" "$count"
done
