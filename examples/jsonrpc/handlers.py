from scriptling.runtime.jsonrpc import error


def add(params):
    return params["a"] + params["b"]


def mean(params):
    if not params:
        return error(-32602, "there is no mean of nothing", {"given": params})
    return sum(params) / len(params)


def note(params):
    print("noted:", params)
