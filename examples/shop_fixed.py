"""A shop that keeps the last 1000 receipts."""

from collections import deque

prices = {"tea": 3, "milk": 1}
receipts = deque(maxlen=1000)


def checkout(number):
    basket = {"tea": 2, "milk": 1}
    total = sum(prices[item] * count for item, count in basket.items())
    receipts.append({"number": number, "items": basket, "total": total})
    return total
