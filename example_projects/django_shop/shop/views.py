"""The shop's pages."""

import os
import time
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from kv_django import astores, stores
from shop.models import Product

SUPPLIER_SECONDS = 0.15


@require_GET
def products(request: HttpRequest) -> HttpResponse:
    """Show what there is to buy."""
    return render(request, "products.html", {"products": Product.objects.all()})


@require_GET
@cache_page(60)  # KeyValueCache, by CACHES
def prices(request: HttpRequest) -> JsonResponse:
    """Show the prices as the supplier gives them, who is slow to answer: a cached view."""
    time.sleep(SUPPLIER_SECONDS)
    prices = {product.name: str(product.price) for product in Product.objects.all()}
    return JsonResponse({"as_of": timezone.now().isoformat(), "prices": prices})


@require_GET
def cart(request: HttpRequest) -> JsonResponse:
    """Show the cart, which lies in the session."""
    return JsonResponse({"cart": request.session.get("cart", {})})


@require_POST
def add_to_cart(request: HttpRequest, product_id: int) -> HttpResponse:
    """Put one more of a product into the cart."""
    product = get_object_or_404(Product, pk=product_id)
    basket = request.session.get("cart", {})
    basket[product.name] = basket.get(product.name, 0) + 1
    request.session["cart"] = basket
    return redirect("cart")


@require_GET
@login_required
def account(request: HttpRequest) -> JsonResponse:
    """Show who is logged in, and their cart."""
    return JsonResponse({"user": request.user.get_username(), "cart": request.session.get("cart", {})})


async def announcement(request: HttpRequest) -> HttpResponse:
    """Show what any of the applications announced last; staff may announce: an async view."""
    shared = astores["shared"]
    if request.method != "POST":
        return JsonResponse(await shared.get("announcement") or {"text": "", "by": ""})
    user = await request.auser()
    text = request.POST.get("text", "").strip()[:500]
    if not user.is_staff:
        return JsonResponse({"error": "Only staff announce."}, status=403)
    if not text:
        return JsonResponse({"error": "An announcement has a text."}, status=400)
    value = {"text": text, "by": "shop"}
    await shared.put("announcement", value)
    return JsonResponse(value)


@csrf_exempt  # a beacon: it takes nothing and changes nothing of the visitor's
@require_POST
def visit(request: HttpRequest) -> JsonResponse:
    """Count a visit, together with the other applications."""
    return JsonResponse({"visits": stores["shared"].increment("visits", initial=0)})


@require_GET
def stats(request: HttpRequest) -> JsonResponse:
    """Show what this process asked of its stores."""
    counted = {alias: stores[alias] for alias in stores}
    found = {alias: _counts(store) for alias, store in counted.items() if hasattr(store, "get_statistics")}
    return JsonResponse({"application": "shop", "process": os.getpid(), "stores": found})


def _counts(counted: Any) -> dict[str, float]:
    numbers = counted.get_statistics()
    return {"operations": numbers.count, "hits": numbers.hits, "misses": numbers.misses, "errors": numbers.errors}
