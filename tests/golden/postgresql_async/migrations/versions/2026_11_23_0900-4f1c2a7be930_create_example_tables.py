"""Create example tables

Revision ID: 4f1c2a7be930
Revises:
Create Date: 2026-11-23 09:00:00+00:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "4f1c2a7be930"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

number = sa.BigInteger()
string = sa.Text()
moment = sa.DateTime(timezone=True)
order_status = sa.Enum("pending", "paid", "shipped", name="orderstatus")


def upgrade() -> None:
    op.create_table(
        "customers",
        sa.Column("id", number, sa.Identity(), nullable=False),
        sa.Column("name", string, nullable=False),
        sa.Column("email", string, nullable=False),
        sa.Column("created_at", moment, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
        sa.UniqueConstraint("email", name=op.f("uq_customers_email")),
    )
    op.create_table(
        "products",
        sa.Column("id", number, sa.Identity(), nullable=False),
        sa.Column("name", string, nullable=False),
        sa.Column("price", sa.Numeric(10, 2), nullable=False),
        sa.CheckConstraint("price >= 0", name=op.f("ck_products_price_is_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_products")),
    )
    op.create_index(op.f("ix_products_name"), "products", ["name"])
    op.create_table(
        "orders",
        sa.Column("id", number, sa.Identity(), nullable=False),
        sa.Column("customer_id", number, nullable=False),
        sa.Column("status", order_status, server_default="pending", nullable=False),
        sa.Column("created_at", moment, server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", moment, server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_orders_customer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
    )
    op.create_index(op.f("ix_orders_customer_id"), "orders", ["customer_id"])
    op.create_table(
        "order_products",
        sa.Column("order_id", number, nullable=False),
        sa.Column("product_id", number, nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
            name=op.f("fk_order_products_order_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_order_products_product_id")
        ),
        sa.PrimaryKeyConstraint("order_id", "product_id", name=op.f("pk_order_products")),
    )
    op.create_index(op.f("ix_order_products_product_id"), "order_products", ["product_id"])


def downgrade() -> None:
    op.drop_table("order_products")
    op.drop_table("orders")
    order_status.drop(op.get_bind(), checkfirst=False)
    op.drop_table("products")
    op.drop_table("customers")
