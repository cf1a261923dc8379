import scriptling.runtime.http as http


def check(request):
    """Let nobody pass who does not say who it is."""
    if "user-agent" not in request.headers:
        return http.text(403, "say who you are")


def hello(request):
    greeting = request.query.get("greeting", "Hello")
    return http.text(f"{greeting}, {request.path_params['name']}")


def count(request):
    words = request.body.split()
    return http.json(201, {"words": len(words), "longest": max(words, key=len, default=None)})


def shout(client):
    while (message := client.receive(timeout=None)) is not None:
        client.send(message.upper())
