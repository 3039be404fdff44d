"""A Bottle application, written as one would for any server."""

import hashlib
import os

import bottle

app = application = bottle.Bottle()
bottle.BaseRequest.MEMFILE_MAX = 1 << 20


@app.get("/hello/<name>")
def hello(name):
    bottle.response.set_cookie("name", name)
    return f"Hello {name}\n"


@app.get("/again")
def again():
    return {"name": bottle.request.get_cookie("name")}


@app.post("/upload")
def upload():
    digest = hashlib.sha256()
    size = 0
    body = bottle.request.body
    while piece := body.read(65536):
        digest.update(piece)
        size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/file/<name>")
def file(name):
    return bottle.static_file(name, root=os.environ["FILES"], mimetype="application/x-data")


@app.get("/stream")
def stream():
    yield "one\n"
    yield "two\n"
