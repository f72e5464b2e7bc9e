"""`manage.py prepare`: make the database, and put something into the shop."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, call_command

from shop.models import Product

PRODUCTS = {"Lamp": "24.90", "Chair": "89.00", "Clock": "39.50"}


class Command(BaseCommand):
    help = "Make the database, three products, and a member of staff who may log in."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--user", default="anna")
        parser.add_argument("--password", required=True)

    def handle(self, *, user: str, password: str, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        for name, price in PRODUCTS.items():
            Product.objects.update_or_create(name=name, defaults={"price": price})
        person, _ = get_user_model().objects.get_or_create(username=user, defaults={"is_staff": True})
        person.set_password(password)
        person.save()
        self.stdout.write(f"The shop has {len(PRODUCTS)} products, and {user} may log in.")
