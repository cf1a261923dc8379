import time


def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


def pause(seconds):
    time.sleep(seconds)
    return seconds


def repeat(function, times):
    total = 0
    for i in range(times):
        total += function(i)
    return total


class Counter:
    def __init__(self, start):
        self.value = start

    def increment(self, amount):
        self.value += amount
        return self.value

    def fib(self, n):
        return fib(n)


class Other(Counter):
    pass
