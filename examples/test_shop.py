import leakguard
from shop_fixed import checkout


def test_checkout_does_not_leak():
    leakguard.assert_no_growth(checkout)
