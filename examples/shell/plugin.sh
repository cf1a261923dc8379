#!/usr/bin/env bash
# The simplest plugin there can be: one line in, one line out, with jq for the JSON.
while IFS= read -r line; do
    jq -cn --argjson request "$line" '
        def text: {type: "string", value: .};
        def arg(i): $request.params.args[i].value;
        def reply(r): {jsonrpc: "2.0", id: $request.id, result: r};
        if $request.method == "scriptling.handshake" then
            reply({
                protocol: "1.0",
                library: {name: "shell", version: "1", description: "A plugin in a shell"},
                schema: {functions: [{name: "greet", description: "Greet somebody"}, {name: "shout"}]}
            })
        elif $request.params.name == "greet" then reply("Hello, \(arg(0))!" | text)
        elif $request.params.name == "shout" then reply(arg(0) | ascii_upcase | text)
        elif $request.method == "function.call" then
            {jsonrpc: "2.0", id: $request.id, error: {code: -32000, message: "unknown function \($request.params.name)"}}
        else reply(null)
        end'
done
