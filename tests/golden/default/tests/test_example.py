"""The example models work as they should. Delete this file together with them."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from my_shop.models.example import Customer, Order, OrderStatus, Product


@pytest.fixture
def customer(session: Session) -> Customer:
    customer = Customer(name="Ada", email="ada@example.com")
    session.add(customer)
    session.commit()
    return customer


def test_an_order_has_a_customer_and_products(session: Session, customer: Customer) -> None:
    products = [Product(name="Tea", price=Decimal("3.50")), Product(name="Pot", price=Decimal(20))]
    session.add(Order(customer=customer, products=products))
    session.commit()
    order = session.scalars(select(Order)).one()
    assert order.customer.name == "Ada"
    assert sum(product.price for product in order.products) == Decimal("23.50")


def test_a_new_order_is_pending_and_knows_when_it_was_made(
    session: Session, customer: Customer
) -> None:
    order = Order(customer=customer)
    session.add(order)
    session.commit()
    assert order.status is OrderStatus.PENDING
    assert abs((datetime.now(UTC) - order.created_at).total_seconds()) < 60


def test_an_email_belongs_to_one_customer(session: Session, customer: Customer) -> None:
    session.add(Customer(name="Eve", email=customer.email))
    with pytest.raises(DBAPIError, match="(?i)unique|duplicate"):
        session.commit()


def test_a_price_is_not_negative(session: Session) -> None:
    session.add(Product(name="Gift", price=Decimal(-1)))
    with pytest.raises(DBAPIError, match="ck_products_price_is_not_negative"):
        session.commit()


def test_an_order_needs_an_existing_customer(session: Session) -> None:
    session.add(Order(customer_id=12345))
    with pytest.raises(DBAPIError, match="(?i)foreign key"):
        session.commit()
