def add(a, b):
    return a + b


def echo(value):
    return value
