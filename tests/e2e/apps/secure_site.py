"""A Django application that says what it thinks of its connection."""

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="not a secret")


def view(request):
    root = request.build_absolute_uri("/").rstrip("/").rpartition(":")[0]
    return HttpResponse(f"{request.is_secure()} {request.scheme} {root}")


urlpatterns = [path("", view)]
application = WSGIHandler()
