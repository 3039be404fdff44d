"""The admin pages, their static files, and an upload."""

import hashlib

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.http import JsonResponse
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def upload(request):
    digest = hashlib.sha256()
    size = 0
    while piece := request.read(65536):
        digest.update(piece)
        size += len(piece)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})


urlpatterns = [
    path("admin/", admin.site.urls),
    path("upload", upload),
    # FileResponse: Django hands the file to wsgi.file_wrapper.
    re_path(r"^static/(?P<path>.*)$", serve, {"insecure": True}),
]
