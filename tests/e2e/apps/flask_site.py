"""A Flask application, written as one would for any server."""

import hashlib

from flask import Flask, Response, request, session

app = Flask(__name__)
app.secret_key = "not a secret"
BLOCK = bytes(range(256)) * 256  # 64 KiB


@app.get("/hello/<name>")
def hello(name):
    session["name"] = name
    return f"Hello {name}, {request.args.get('greeting', '')}\n"


@app.get("/again")
def again():
    return {"name": session.get("name")}


@app.post("/form")
def form():
    part = request.files["part"]
    data = part.read()
    digest = hashlib.sha256(data).hexdigest()
    return {"name": part.filename, "field": request.form["field"], "sha256": digest}


@app.post("/upload")
def upload():
    digest = hashlib.sha256()
    size = 0
    while piece := request.stream.read(65536):
        digest.update(piece)
        size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/download/<int:blocks>")
def download(blocks):
    return Response((BLOCK for _ in range(blocks)), mimetype="application/octet-stream")


@app.get("/error")
def error():
    raise RuntimeError("as asked for")
