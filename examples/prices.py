"""Shows the prices of a market. Every page subscribes to them, and none ever leaves."""

import time


class Market:
    def __init__(self):
        self.listeners = []

    def subscribe(self, listener):
        self.listeners.append(listener)


class Page:
    def __init__(self, item):
        self.item = item
        self.prices = []

    def refresh(self, price):
        self.prices.append(price)


market = Market()


def show(item):
    page = Page(item)
    market.subscribe(page.refresh)


def main(seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        show("tea")
        time.sleep(0.001)


if __name__ == "__main__":
    main()
