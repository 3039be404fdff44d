"""Options of uWSGI that need nothing here, and those that are not offered yet.

The first table holds names that are accepted without effect, each with the reason why
nothing is to do. The second holds families of names that are an error, each with what to
use instead; a name that no family covers gets ``NO_SUBSTITUTE``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uwgate.conf.catalog import Fact

ACCEPTED: dict[str, str] = {
    "master": "there is always a master",
    "force-gateway": "gateways never need an option to start",
    "thunder-lock": "workers never race for a connection",
    "lock-engine": "there are no locks to choose",
    "ftok": "there are no System V semaphores",
    "persistent-ipcsem": "there are no System V semaphores",
    "enable-threads": "applications may always start threads",
    "single-interpreter": "every worker has one interpreter",
    "max-apps": "there is no limit to applications",
    "no-fd-passing": "no descriptor is taken from a packet",
    "no-defer-accept": "accepting is never deferred",
    "close-on-exec": "no socket is inherited by a program that the application starts",
    "close-on-exec2": "no socket is inherited by a program that the application starts",
    "py-call-osafterfork": "Python's fork hooks always run",
    "py-call-uwsgi-fork-hooks": "Python's fork hooks always run",
    "no-orphans": "workers always notice that the master is gone",
    "master-as-root": "the master keeps its privileges, everything else drops them",
    "binary-path": "a reload finds the program by itself",
    "skip-zero": "descriptor 0 is not checked",
    "backtrace-depth": "tracebacks are Python's own",
    "offload-threads": "the gateway sends files itself, and no worker waits for a slow client",
    "offload-thread": "the gateway sends files itself, and no worker waits for a slow client",
    "pcre-jit": "regular expressions are Python's own",
    "use-abort": "no signal handler stands between a crash and its core file",
    "wsgi-strict": "PEP 3333 is always followed",
    "wsgi-env-behaviour": "every request gets a fresh environ",
    "wsgi-env-behavior": "every request gets a fresh environ",
    "log-reopen": "a reload opens the log file again",
    "log-master-bufsize": "log lines are not cut",
    "log-master-stream": "log lines need no pipe of another kind",
    "log-master-req-stream": "log lines need no pipe of another kind",
    "threaded-logger": "writing the log never holds up a request",
    "ssl-tmp-dir": "PEM text as the value of a certificate or key needs no folder",
    "http-events": "the gateway takes as many events as there are",
    "fastrouter-events": "the gateway takes as many events as there are",
    "rawrouter-events": "the gateway takes as many events as there are",
    "sslrouter-events": "the gateway takes as many events as there are",
    "fastrouter-subscription-slot": "the size of the table is no longer to be stated",
    "rawrouter-subscription-slot": "the size of the table is no longer to be stated",
    "autoload": "nothing is loaded at run time",
    "plugin": "the parts that it names are built in",
    "plugins": "the parts that it names are built in",
    "need-plugin": "the parts that it names are built in",
    "need-plugins": "the parts that it names are built in",
    "plugin-dir": "nothing is loaded at run time",
    "plugins-dir": "nothing is loaded at run time",
}

# Beyond these names, an option that is switched off (false, 0) is accepted as well: there
# is nothing to do for it either. Values that make a whole option superfluous:
SUPERFLUOUS: dict[str, re.Pattern[str]] = {
    # The well-known way to a graceful SIGTERM, which uwgate has without it.
    "hook-master-start": re.compile(r"unix_signal:(2|3|15)\s+(gracefully_)?kill_(them_all|all)\s*"),
    # Without a cache: tickets are good in every process of this machine.
    "ssl-sessions-use-cache": re.compile(r"(?i)|1|true|yes|on"),
    "ssl-session-use-cache": re.compile(r"(?i)|1|true|yes|on"),
}

# Plugins of uWSGI whose work uwgate does itself, or whose options say so themselves.
BUILT_IN_PLUGIN = re.compile(
    r"python[0-9.]*|http|corerouter|logfile|logsocket|rsyslog|syslog|cheaper_\w+|signal|"
    r"(fast|raw|ssl|forkpty|tuntap)router|tuntap|router_\w+|zergpool|zerg|carbon|cache|rpc|"
    r"spooler|symcall|ugreen|gevent|greenlet|nagios|ping|transformation_\w+|"
    r"emperor_\w+|stats_pusher_\w+|alarm_\w+|sslrouter|logpipe|logzmq|redislog|mongodblog|"
    r"crypto_logger|graylog2|dumbloop|asyncio|notfound|pty|cgi|echo|dummy|exception_log|"
    r"0|null|none"
)

NO_SUBSTITUTE = "there is no substitute yet: remove it, or keep this part on uWSGI"

_FOREIGN = "uwgate runs WSGI applications: keep this part on a uWSGI of its own, behind http-to"
_FILES = "serve files from the application, or from the web server in front"
_SUPERVISE = "start one uwgate per file, for example as systemd units"
_SYSTEMD = "let systemd's unit file do it"
_STATS = "give a gateway a stats server (http-stats-server), or read the access log"
_LOGGER = "use logto, or the standard error stream and whatever collects it"
_TIMER = "use cron or systemd timers"
_TASKS = "use a task queue with workers of its own, such as Celery or RQ"
_LIMITS = "use max-requests or reload-on-rss, or set limits outside (systemd, ulimit)"
_HOOK = "run the command before uwgate starts (systemd's ExecStartPre), or in the application"
_CACHE = "use a cache (cache2) instead"
_ASYNC = "use threads and more processes"
_RELOAD = "send SIGHUP to the master (uwgate --reload PIDFILE)"
_JAIL = "use systemd's sandboxing, or a container"

# First match wins; the pattern must cover the whole name.
NOT_OFFERED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), hint)
    for pattern, hint in (
        (
            r".*harakiri.*",
            "a hanging request is ended by the application's own time-outs; "
            "http-timeout answers the client",
        ),
        (
            r"(early-)?emperor.*|vassals?-.*|imperial-.*|heartbeat|hook-(emperor|as-vassal).*",
            _SUPERVISE,
        ),
        (
            r".*stats(-.*)?|.*-ss|.*metrics?(-.*)?|snmp.*|carbon.*|udp|rrdtool.*|zabbix.*|nagios",
            _STATS,
        ),
        (
            r"xslt-.*",
            "use the rule xslt:doc=...,stylesheet=...",
        ),
        (
            r"webdav.*|glusterfs.*|rados.*",
            _FILES,
        ),
        (
            r"ssl-enable-?(3|sslv3|tlsv1)",
            "remove it: SSLv3, TLS 1.0 and 1.1 are broken; who cannot speak TLS 1.2 needs a "
            "proxy of its own in front",
        ),
        (
            r"ssl-sessions?-use-cache",
            "write it without a name: session tickets resume in all processes without a cache",
        ),
        (r"https-socket.*|suwsgi-socket|ssl-socket", "use https, which listens in a gateway"),
        (r"forkpty.*|tuntap.*|pty-.*", NO_SUBSTITUTE),
        (r"check-cache", "write a rule instead: route = .* cache:key=${REQUEST_URI}"),
        (r"multicast", "use legion-mcast"),
        (r".*-zerg", "use zerg, http-zerg or fastrouter-zerg"),
        (
            r"cheap|cheaper.*|idle|die-on-idle",
            "processes states how many workers run; they start at once",
        ),
        (r"error-page-.*", "write error-route-status = 404 redirect:..., or the like"),
        (r"geoip-use-disk", "remove it: databases are mapped into memory as they are used"),
        (r"response-headers-limit", "remove it: there is a limit of 64 KiB"),
        (r".*logger.*|log-(syslog|socket|zeromq)|rsyslog.*|logger-req", _LOGGER),
        (
            r"log-(req-)?(encoder|route)|log-(drain|filter)|log-?format-strftime",
            "use log-format for request lines, and filter where logs are collected",
        ),
        (r"log(file)?-.*|notfound-log", "use disable-logging with log-4xx, log-5xx and log-slow"),
        (
            r".*alarm.*|check-mount.*|mount(point)?-check",
            "watch the log or the service from outside",
        ),
        (r".*timer", _TIMER),
        (r"spooler.*|mules?(-.*)?|farm|.*-mules?-.*|queue.*|mule-.*", _TASKS),
        (r"daemons-honour-stdin", "a daemon has no terminal"),
        (r"worker-exec2?", "run the program with attach-daemon"),
        (
            r"touch-.*|fs-.*|propagate-touch|py(thon)?-auto-?reload.*|reload-on-fd|brutal-reload-.*",
            _RELOAD,
        ),
        (
            r"pause|suspend|resume|signal|extract",
            "send signals to the master: SIGHUP reloads, SIGTERM stops",
        ),
        (
            r"sharedarea|py-sharedarea|.*-use-cache",
            _CACHE,
        ),
        (
            r"hook-.*|exec-.*|call-.*|after-request-.*|mount-.*|umount-.*|wait-.*|file-write|binsh|"
            r"symcall.*",
            _HOOK,
        ),
        (
            r"chroot|pivot[-_]root|cap|unshare2?|setns.*|jail.*|jid-?file|libjail|(re-?fork).*|"
            r"cgroup.*|namespace.*|ns(-net)?|emperor-cap|.*binary-patch.*|drop-after-.*|pam.*",
            _JAIL,
        ),
        (r"immediate-[ug]id|http-fallback-.*", "use uid and gid"),
        (
            r"limit-.*|evil-reload-.*|mem-collector-freq|never-swap|ksm|prio|cpu-affinity|"
            r"forkbomb-delay",
            _LIMITS,
        ),
        (
            r"async|gevent.*|greenlet|fiber|ugreen.*|tornado|asyncio|stackless|coroae|loop|loops?-list|"
            r".*rb-?threads?",
            _ASYNC,
        ),
        (
            r"http-manage-rtsp",
            "RTSP over HTTP is not understood: give the media server an address of its own",
        ),
        (
            r"(f?scgi|fastcgi|raw|puwsgi|zeromq|zmq).*|mongrel2|map-socket|http-socket-modifier.|"
            r"cgi.*|php.*|remap-modifier|allowed-modifiers|dumbloop.*",
            _FOREIGN,
        ),
        (r"flock.*", "use flock(1) around the command"),
        (r"daemonize2", "use daemonize"),
        (
            r"paste.*|ini-paste.*|web3|pump|wsgi-lite|pecan|eval|worker-mount|py(run|thon|-raw)?|"
            r"python-raw|pypy.*|test",
            "use module or wsgi-file with a WSGI callable",
        ),
        (r"(shared|spooler)-.*import", "import the module in the application"),
        (r"py(thon)?shell.*|.*-?shell.*", "start python by itself"),
        (
            r"no-site|optimize|py-(program-?name|(sys-)?executable|programname)",
            "choose the interpreter with virtualenv; PYTHONOPTIMIZE and the like with env",
        ),
        (
            r"sqlite3?|ldap.*|lua|dlopen|.*-list|dump-options|build-plugin|cflags|dot-h|config-py|"
            r"print-sym(bol)?|binary-append-data",
            "there are no loadable parts to ask",
        ),
        (r"inject-.*|fallback-config|resolve", "write an include in the file"),
    )
)


def hint_for(fact: Fact) -> str:
    """What to do instead of using an option that is not offered."""
    for pattern, hint in NOT_OFFERED:
        if pattern.fullmatch(fact.name):
            return hint
    if fact.origin in FOREIGN_ORIGINS:
        return _FOREIGN
    return NO_SUBSTITUTE


FOREIGN_ORIGINS = frozenset(
    [
        "php",
        "rack",
        "psgi",
        "lua",
        "jvm",
        "mono",
        "gccgo",
        "ring",
        "jwsgi",
        "pypy",
        "cgi",
        "xslt",
        "webdav",
        "coroae",
        "rbthreads",
    ]
)
