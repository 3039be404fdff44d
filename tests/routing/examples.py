"""Rules with requests: what the real uWSGI and our rules are both asked (spec section 9)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    target: str
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Example:
    """Lines of a configuration, and requests for it in order. ``extra`` is uWSGI's alone."""

    name: str
    lines: tuple[str, ...]
    asks: tuple[Ask, ...]
    extra: tuple[str, ...] = ()


def example(
    name: str, *lines: str, asks: tuple[Ask | str, ...], extra: tuple[str, ...] = ()
) -> Example:
    """An example; a request that is just a path has no headers."""
    return Example(
        name, lines, tuple(Ask(one) if isinstance(one, str) else one for one in asks), extra
    )


def basic(text: str) -> dict[str, str]:
    """The header for user:password."""
    import base64

    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


GZIP = {"Accept-Encoding": "gzip"}

ALIKE: tuple[Example, ...] = (
    example(
        "redirects, breaks and returns",
        r"route = ^/old/(\d+)$ redirect-permanent:/new/$1?from=${PATH_INFO}",
        "route = ^/u redirect:http://${HTTP_HOST}${REQUEST_URI}",
        "route = ^/teapot$ return:418",
        "route = ^/close$ break:",
        "route = ^/forbidden break:403 Go Away",
        "route = ^/gone break:410",
        "route = ^/extra return:404 x",
        "route = ^/hash/(.*)$ hash:key=$1,var=TAG,items=n1;n2;n3",
        "route = ^/hash/(.*)$ hash:key=$1,var=TAG2,items=n1;n2;n3;n4;n5;n6;n7,algo=murmur2",
        "route = ^/turn hash:key=2,var=TAG,items=a;b;c;d,algo=rr",
        "route = ^/header addheader:X-A: b",
        "route = ^/header return:403",
        "route = ^/made clearheaders:201 Created",
        "route = ^/made addheader:X-A: b",
        "route = ^/made send:hello",
        "route = ^/made send-crnl:!",
        "route = ^/made break:",
        "route = ^/expires expires:unix=1000,value=5",
        asks=(
            "/old/42",
            "/old/x",
            Ask("/u/x?y=1", {"Host": "example.com"}),
            "/teapot",
            "/close",
            "/forbidden",
            "/gone",
            "/extra",
            "/hash/alpha",
            "/hash/%C3%A9",
            "/hash/",
            "/turn",
            "/turn",
            "/turn",
            "/turn",
            "/header",
            "/made",
            "/expires",
        ),
    ),
    example(
        "rewriting merges queries and loses groups",
        "route-uri = ^/u/([a-z]+) rewrite:/index?name=$1",
        "route = ^/index$ addvar:TAG=rewritten-$1",
        "route = ^/dots rewrite:/a/../b/./c",
        "route = ^/escape rewrite:/x%20y?a=%20",
        "route = ^/empty rewrite:/x?",
        "route = ^/last rewrite-last:/done",
        "route-run = addvar:TAG2=behind",
        asks=("/u/bob?x=1", "/u/bob", "/dots", "/escape", "/empty?q=1", "/last", "/other?q=1"),
    ),
    example(
        "computed goto, last, negated condition",
        r"route-host = ^(admin)\. goto:$1",
        "route-run = last:",
        "route-label = admin",
        r"route-remote-addr = ^0\. addheader:X-Zone: admin",
        "route-if-not = startswith:${HTTP_USER_AGENT};curl break:403 Forbidden",
        "route-run = addvar:TAG=admin",
        asks=(
            "/",
            Ask("/", {"Host": "admin.ex", "User-Agent": "curl/8"}),
            Ask("/", {"Host": "admin.ex", "User-Agent": "Moz"}),
        ),
    ),
    example(
        "two users, and a header from REMOTE_USER",
        "route = ^/private basicauth-next:Area,bob:pw1",
        "route = ^/private basicauth:Area,eve:pw2",
        "route-remote-user = ^(.+)$ addheader:X-User: $1",
        asks=(
            "/private",
            Ask("/private", basic("eve:pw2")),
            Ask("/private", basic("bob:pw1")),
            Ask("/private", basic("eve:bad")),
            Ask("/private", {"Authorization": "Digest x"}),
            "/public",
        ),
    ),
    example(
        "error chain",
        "error-route-status = 404 redirect:/not-found?u=${REQUEST_URI}",
        "error-route-run = addvar:TAG=seen",
        "error-route-run = addheader:X-E: ${uwsgi[status]}",
        "response-route-if = equal:${TAG};seen addheader:X-R: ${uwsgi[status]}",
        "route = ^/b break:404",
        asks=("/missing", "/ok", "/b"),
    ),
    example(
        "response chain on a collected header",
        "collect-header = Content-Type RESP_CT",
        "response-route-if = startswith:${RESP_CT};text/html goto:html",
        "response-route-run = last:",
        "response-route-label = html",
        "response-route-run = addheader:X-Html: ${RESP_CT}",
        "response-route-run = chunked:",
        asks=("/a.html", "/a.txt", "/pieces/a.html"),
    ),
    example(
        "conditional gzip, chunked for all",
        "route-if = contains:${HTTP_ACCEPT_ENCODING};gzip gzip:",
        "route-run = chunked:",
        asks=(Ask("/pieces", GZIP), "/pieces", "/pieces/none", Ask("/pieces/none", GZIP)),
    ),
    example(
        "lengths",
        "route-run = fixcl:",
        asks=("/pieces", "/pieces/none", "/"),
    ),
    example(
        "a template",
        "route = ^/pieces/(.*) template:",
        asks=("/pieces/x",),
    ),
    example(
        "a body that is sent before, and headers that are not",
        "response-route-run = addheader:X-First: 1",
        "response-route = ^/a send:xx",
        "response-route = ^/b redirect:/y",
        "response-route = ^/c clearheaders:201 Made",
        "response-route = ^/d return:503",
        "response-route = ^/e break:",
        "response-route = ^/f expires:unix=1000,value=5",
        "response-route-status = 404 addheader:X-Status: 404",
        "final-route = ^/g send:tail",
        "route = ^/h remheader:X-App",
        "add-header = X-Always: yes",
        "error-route-status = 302 addheader:X-Moved: 1",
        asks=("/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h", "/missing"),
    ),
    example(
        "page cache",
        "route = ^/c/(.*)$ cache:key=page-$1,name=pages,content_type=text/plain",
        "route = ^/c/(.*)$ cachestore:key=page-$1,name=pages",
        "route = ^/n cacheinc:key=n,name=pages",
        "route = ^/n cacheinc:key=n,value=4,name=pages",
        "route = ^/n cachedec:key=n,name=pages",
        "route = ^/n cachemul:key=n,value=6,name=pages",
        "route = ^/n cachediv:key=n,name=pages",
        "route = ^/n cachevar:key=n,var=N,num=1,name=pages",
        "route-if = startswith:${N};12 addvar:TAG=12",
        "route = ^/v cacheset:key=k,value=v${PATH_INFO},name=pages",
        "route = ^/v cachevar:key=k,var=TAG,name=pages",
        "route-if = incache:key=page-a,name=pages addheader:X-In: cache",
        asks=("/n", "/c/a", "/c/a", "/c/missing", "/c/b", "/v", "/v"),
        extra=("cache2 = name=pages,items=10",),
    ),
    example(
        "conditions",
        "route-if = equal:${PATH_INFO};/a addvar:TAG=equal",
        "route-if = ==:x;y addvar:TAG=never",
        "route-if = regexp:${QUERY_STRING};(^|&)t=(\\w+) addvar:TAG2=$2",
        "route-if-not = empty:${QUERY_STRING} addvar:TAG3=${qs[t]}|${qs[a]}|${qs[b]}",
        "route-if = ishigher:${qs[n]};10 addvar:TAG4=high",
        "route-if = islowerequal:${qs[n]};-5 addvar:TAG4=low",
        "route-if = islower:${qs[n]};-6 addheader:X-0: lower",
        "route-if = ishigherequal:${qs[n]};11 addheader:X-0: higher",
        "route-if = endswith:${PATH_INFO};.html addheader:X-1: html",
        "route-if = contains:${PATH_INFO};b addheader:X-2: b",
        "route-if = contains:${PATH_INFO}; addheader:X-3: never",
        "route-if = startswith:${PATH_INFO}; addheader:X-4: always",
        "route-if = ipv4in:10.1.2.3;10.0.0.0/8 addheader:X-5: in",
        "route-if = ipv4in:10.1.2.3;10.1.2.4 addheader:X-6: never",
        "route-if = ipv6in:fe80::1;fe80::/10 addheader:X-7: in",
        "route-if = ipv4in:nonsense;10.0.0.0/8 addheader:X-8: never",
        "route-if = isdir:/etc addheader:X-9: dir",
        "route-if = isfile:/etc addheader:X-10: never",
        "route-if = exists:/etc/passwd addheader:X-11: exists",
        "route-if = isfile:/etc/passwd addheader:X-12: file",
        "route-if = isexec:/etc addheader:X-13: exec",
        "route-if = islink:/proc/self addheader:X-14: link",
        "route-if = lord:nobody addheader:X-15: never",
        "route-referer = ^$ addheader:X-16: none",
        asks=(
            "/a",
            "/b.html",
            "/x?a=1&t=zed",
            "/x?n=11",
            "/x?n=-7",
            "/x?n=abc&b=&b=2&t=%20",
            Ask("/x", {"Referer": "http://a/"}),
        ),
    ),
    example(
        "variables",
        "route = ^/(a)(b)?$ addvar:TAG=[$1][$2][$3][$a][$$1][$${PATH_INFO}][${a$}][${nope}]$",
        "route-run = addvar:TAG2=${cookie[a]}|${cookie[b]}|${cookie[]}|$1${",
        "route-run = addvar:TAG3=${base64[PATH_INFO]}|${hex[PATH_INFO]}|${time[nope",
        "route = ^/k/(\\w+) addvar:TAG4=${cookie[$1]}${qs[$1]}",
        asks=(
            "/a",
            Ask("/ab", {"Cookie": "a=; a=2;  b = 3 ;b=4; c=d=e"}),
            Ask("/k/c?b=5", {"Cookie": "c=d=e"}),
            "/k/b?b=5&b=6",
        ),
    ),
    example(
        "changing the request",
        "route-run = setmethod:POST",
        "route-run = setscheme:https",
        "route-run = setdocroot:/x",
        "route-run = setapp:foo",
        "route-run = setremoteaddr:1.2.3.4",
        r"route-remote-addr = ^1\.2 addvar:TAG=changed",
        "route-run = setuser:joe:pw",
        "route-remote-user = ^joe addvar:TAG2=joe",
        "route-run = setscriptname:/a",
        "route-run = fixpathinfo:",
        "route = ^/b addvar:TAG3=5",
        "route = ^/b +:TAG3",
        "route = ^/b *:TAG3,${TAG3}",
        "route = ^/b -:TAG3,6",
        "route = ^/b setpathinfo:/z%41",
        "response-route = ^/z addheader:X-Z: 1",
        "route = ^/m uwsgi:,0,0,app",
        "route-run = seturi:/uri",
        asks=("/a/b", "/a/m", "/a"),
    ),
    example(
        "jumps",
        "route = ^/number goto:3",
        "route = ^/label goto:x",
        "route-run = addvar:TAG=1",
        "route-run = addvar:TAG2=1",
        "route-label = x",
        "route-run = addvar:TAG3=1",
        "route-label = x",
        "route = ^/c/(.*) goto:$1",
        "route-run = addvar:TAG4=1",
        "route-label = end",
        asks=("/", "/number", "/label", "/c/end", "/c/x", "/c/nope"),
    ),
    example(
        "patterns",
        r"route = a$ addvar:TAG=end",
        r"route = (?i)^/CASE addvar:TAG=case",
        r"route = ^/(?:x|y)\s\x41 addvar:TAG=space",
        r"route = ^/d/(\d{2,3})(?=/) addvar:TAG=$1",
        r"route = ^/q/(.*?)/(.*)$ addvar:TAG=$1-$2",
        r"route = ^/p/([[:alpha:]]+)([^[:alpha:]]*) addvar:TAG=$1-$2",
        r"route = ^/(\w)\1 addvar:TAG2=double",
        r"route = ^/\Qa.b\E addvar:TAG2=quoted",
        r"route = \.(?:jpe?g|png)$ addvar:TAG3=image",
        r"route = ^/h\h+\Hx addvar:TAG4=blank",
        r"route = ^/atom(?>a+)b addvar:TAG4=atom",
        asks=(
            "/a",
            "/a%0a",
            "/Case",
            "/x%20A",
            "/d/1234/",
            "/d/123/",
            "/q/a/b/c",
            "/p/abc12",
            "/zz",
            "/a.b",
            "/axb",
            "/x.jpeg",
            "/x.jpg/y",
            "/h%09%20zx",
            "/atomaaab",
        ),
    ),
    example(
        "calls and metrics that do not exist",
        "route = ^/a metricinc:nope",
        "route = ^/b rpc:nope",
        "route = ^/c rpcvar:TAG nope a",
        "route = ^/d rpcret:nope",
        "route = ^/f file:filename=/nope",
        "route = ^/g file-next:filename=/nope",
        "route = ^/h file:filename=/etc/hostname,status=201 Made,content_type=a/b",
        "route = ^/i +:MISSING",
        asks=("/a", "/b", "/c", "/d", "/f", "/g", "/h", "/i"),
    ),
)

# What we do on purpose otherwise, each with the reason; the answers of both are compared.
DIFFERENT = example(
    "differences",
    "route = ^/inject/(.*)$ addvar:TAG=$1",  # no text of a client names a variable
    "route = ^/divide addvar:TAG=9",
    "route = ^/divide /:TAG,2",  # uWSGI multiplies
    "route = ^/below addvar:TAG=1",
    "route = ^/below -:TAG,2",  # uWSGI's numbers have no sign
    "route = ^/crlf redirect:/x${PATH_INFO}",  # a line's end would begin another header
    "route = ^/user setuser:joe:secret",
    "route-remote-user = ^(.+)$ addvar:TAG2=$1",  # uWSGI keeps the length of joe:secret
    "route = ^/308 return:308",  # it is not in uWSGI's table
    "route = ^/upper addvar:TAG=${upper[REQUEST_URI]}",  # uWSGI has it since 2.1 only
    "route = ^/path addvar:PATH_INFO=/other",
    "route = ^/other addvar:TAG=other",  # there is one PATH_INFO, not two
    "route = ^/pieces/flush flush:",
    "route = ^/pieces/flush fixcl:",  # uWSGI sends the body twice
    "response-route = ^/remove remheader:X-App",  # uWSGI removes what comes later only
    "route = ^/hidden rewrite:/a/%2e%2e/b",  # escaped dots are dots as well
    "route = ^/sent send:a",
    "route = ^/sent return:404",  # uWSGI sends no status once something is sent
    asks=(
        "/inject/$%7BREMOTE_ADDR%7D",
        "/divide",
        "/below",
        "/crlf%0d%0aX:%20y",
        "/user",
        "/308",
        "/upper",
        "/path",
        "/pieces/flush",
        "/remove",
        "/hidden",
        "/sent",
    ),
)
