"""A shop that keeps every receipt it ever wrote."""

prices = {"tea": 3, "milk": 1}
receipts = {}


def checkout(number):
    basket = {"tea": 2, "milk": 1}
    total = sum(prices[item] * count for item, count in basket.items())
    receipts[number] = {"items": basket, "total": total}
    return total
