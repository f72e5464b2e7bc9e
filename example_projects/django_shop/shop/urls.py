"""Where everything is."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from shop import views

urlpatterns = [
    path("", views.products, name="products"),
    path("prices", views.prices, name="prices"),
    path("cart", views.cart, name="cart"),
    path("cart/<int:product_id>", views.add_to_cart, name="add-to-cart"),
    path("login", LoginView.as_view(), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("account", views.account, name="account"),
    path("announcement", views.announcement, name="announcement"),
    path("visits", views.visit, name="visits"),
    path("stats", views.stats, name="stats"),
]
