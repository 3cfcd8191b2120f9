# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the hooks of all cloud providers have in common: to ask an HTTP API until it routes an address to this host, for a bounded
time, and to say plainly how that ended. Knows no provider. A provider is an object with

    address, host   what the log calls them
    is_here()       does the provider route the address to this host?
    take(patience)  tells it to; is_here() is asked again afterwards, and has the last word

Each may raise Temporary, after which all begins again a moment later, or Permanent, which ends the attempt at once.

Python, since every cloud's images have it: it reads JSON, keeps the token in its memory, and needs no other program, whereas a
shell would start two for each request. There is no vipd in here: the unit is started on takeover and stopped on release, and
SIGTERM ends this process wherever it is.
"""

import contextlib
import email.utils
import http.client
import json
import os
import random
import signal
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

REQUEST_SEC = 15  # for one request, from the name lookup to the last byte
MAX_BYTES = 1 << 20  # of an answer
FIRST_DELAY_SEC = 1
MAX_DELAY_SEC = 30
TRY_SEC = 300
AGAIN_SEC = 30  # longer than a request of another host may be under way

# Exit statuses, as in sysexits.h. The unit tries again after the first, and not after the second.
EX_TEMPFAIL = 75
EX_CONFIG = 78

ERR, WARNING, NOTICE = 3, 4, 5
# Statuses below 500 that a later request may not get: a time limit, a conflict with another change, "unprocessable now", a lock, a
# rate limit. Others will not become better by themselves.
PASSING = (408, 409, 422, 423, 429)
HINTS = {401: "the token is not valid", 403: "the token may not do this", 404: "there is no such thing for this token"}


class Temporary(Exception):
    """It did not work now. after: what the server said about when it might, in seconds."""

    def __init__(self, text, after=0):
        super().__init__(text)
        self.after = after


class Permanent(Exception):
    """It will not work until somebody changes something."""


class TimeIsUp(Exception):
    """There was time for no more attempts."""


def say(level, text):
    """One line of log; with the level in front where the journal takes it off again."""
    line = "".join(c if c.isprintable() else " " for c in text)
    print(f"<{level}>{line}" if "JOURNAL_STREAM" in os.environ else line, file=sys.stderr, flush=True)


def now():
    """Seconds of a clock that nobody sets, and that goes on while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Patience:
    """How long to wait before the next attempt: twice as long each time, never quite the same for two hosts, until time is up."""

    def __init__(self, seconds):
        self.began = now()
        self.seconds = seconds
        self.delay = FIRST_DELAY_SEC

    def used(self):
        return now() - self.began

    def is_up(self):
        return self.used() >= self.seconds

    def next(self, reason):
        """After a Temporary: how long, in seconds; what the server asked for at least, but the last attempt comes before time is up."""
        if self.is_up():
            raise TimeIsUp(f"given up after {self.used():.0f} s: {reason}")
        delay = max(random.uniform(0.5, 1) * self.delay, reason.after)
        self.delay = min(self.delay * 2, MAX_DELAY_SEC)
        return max(0.0, min(delay, self.seconds - self.used()))


# HTTP

class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected request would take the token to wherever it is sent."""

    def redirect_request(self, *_):
        return None


@contextlib.contextmanager
def time_limit(seconds):
    """The timeout of a socket is for each piece; a server that sends one byte at a time, or none, ends here."""
    def on_alarm(*_):
        raise TimeoutError("timed out")
    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def retry_after(headers):
    """The seconds of Retry-After:, which may also be a date; 0 if there is none."""
    value = headers.get("Retry-After", "")
    if value.strip().isdecimal():
        return int(value)
    with contextlib.suppress(TypeError, ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return 0


def reason_in(body):
    """What an error's JSON says of itself, as DigitalOcean and as others word it."""
    with contextlib.suppress(ValueError, AttributeError):
        found = json.loads(body)
        text = found.get("message") or found.get("error", {}).get("message")
        return f": {str(text)[:200]}" if text else ""
    return ""


def fetch(url, method="GET", token=None, body=None, proxy=True):
    """The answer's bytes. Whatever keeps them from coming is Temporary or Permanent, and names the request, never the token."""
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json", "User-Agent": "vipd"})
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(NoRedirect, *([] if proxy else [urllib.request.ProxyHandler({})]))

    def failure(text):
        return f"{method} {url}: {text.replace(token, '(token)') if token else text}"
    try:
        with time_limit(REQUEST_SEC), opener.open(request, timeout=REQUEST_SEC) as answer:
            return answer.read(MAX_BYTES)
    except urllib.error.HTTPError as error:
        said = ""
        with contextlib.suppress(OSError, http.client.HTTPException), time_limit(REQUEST_SEC):
            said = reason_in(error.read(MAX_BYTES))
        text = failure(f"{error.code} {error.reason}{said}")
        if error.code >= 500 or error.code in PASSING:
            raise Temporary(text, retry_after(error.headers)) from None
        hint = HINTS.get(error.code) if token else None
        raise Permanent(f"{hint} ({text})" if hint else text) from None
    except urllib.error.URLError as error:
        raise Temporary(failure(str(error.reason))) from None
    except (OSError, http.client.HTTPException) as error:
        raise Temporary(failure(str(error) or type(error).__name__)) from None


class Api:
    """A JSON API behind a bearer token."""

    def __init__(self, base, token):
        parts = urllib.parse.urlsplit(base)
        if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise Permanent(f"API={base}: a token goes over https only")
        self.base, self.token = base.rstrip("/"), token

    def request(self, method, path, body=None):
        url = f"{self.base}/{path}"
        answer = fetch(url, method, self.token, body)
        try:
            found = json.loads(answer)
            if isinstance(found, dict):
                return found
        except ValueError:
            pass
        raise Temporary(f"{method} {url}: the answer is not a JSON object")

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body):
        return self.request("POST", path, body)


# the environment of the unit

def setting(name, default=None):
    value = os.environ.get(name, "").strip() or default
    if value is None:
        raise Permanent(f"{name}= is not set: say Environment={name}=... in a drop-in of this unit")
    return value


def seconds(name, default, minimum):
    value = setting(name, str(default))
    if not value.isdecimal() or int(value) < minimum:
        raise Permanent(f"{name}={value}: allowed is a whole number of seconds from {minimum}")
    return int(value)


def tell_started():
    """The start of the unit is over, and we are not. False: nobody wants to know."""
    path = os.environ.pop("NOTIFY_SOCKET", "")
    if not path:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
        s.sendto(b"READY=1", "\0" + path[1:] if path[0] == "@" else path)
    return True


def credential(name):
    """What LoadCredential=NAME:FILE or LoadCredentialEncrypted=NAME:FILE gave to the unit. Not in the environment, where every child
    and many a log would have it."""
    try:
        with open(os.path.join(os.environ["CREDENTIALS_DIRECTORY"], name), encoding="ascii") as f:
            value = f.read().strip()
    except (KeyError, FileNotFoundError):
        raise Permanent(f"there is no credential '{name}': say LoadCredential={name}:FILE in a drop-in of this unit") from None
    except (OSError, ValueError):
        raise Permanent(f"the credential '{name}' cannot be read as text") from None
    # also: what a header may not contain would be printed by the library that refuses it
    if not value or not value.isprintable() or " " in value:
        raise Permanent(f"the credential '{name}' is not one word")
    return value


# the attempt

def wait_for(finished, patience, what):
    """For take(): asks finished() about every second. Temporary(what) if it takes longer than there is time."""
    while not finished():
        if patience.is_up():
            raise Temporary(what)
        time.sleep(1)


def pursue(provider, patience, again=False):
    """Returns once the provider says that the address is here. again: which it has said before."""
    n_orders, unseen = 0, False
    while True:
        try:
            if provider.is_here():
                how = f"after {patience.used():.1f} s" if n_orders else "already"
                if n_orders or not again:
                    say(NOTICE, f"{provider.address} is routed to {provider.host}{' again' if again else ''}, {how}")
                return
            if unseen:
                # somebody gave another order meanwhile, or the answer is that of a moment ago
                unseen = False
                raise Temporary(f"{provider.address} is not routed to {provider.host} yet, or no longer")
            provider.take(patience)
            n_orders, unseen = n_orders + 1, True
        except Temporary as reason:
            delay = patience.next(reason)
            say(WARNING, f"{reason}; again in {delay:.1f} s")
            time.sleep(delay)


def main(make_provider):
    """The whole program; returns its exit status. make_provider(): reads the settings.

    An order of the former master may arrive after ours, though it was ended when it lost the role: in the network, or in a slow API. So
    the unit has started once the address is here, and we look again when such an order must have arrived."""
    try:
        try_sec, again_sec = seconds("TRY_SEC", TRY_SEC, 1), seconds("AGAIN_SEC", AGAIN_SEC, 0)
        patience = Patience(try_sec)
        provider = make_provider()
        pursue(provider, patience)
        if again_sec and tell_started():
            time.sleep(again_sec)
            pursue(provider, Patience(try_sec), again=True)
    except Permanent as reason:
        say(ERR, str(reason))
        return EX_CONFIG
    except TimeIsUp as reason:
        say(ERR, str(reason))
        return EX_TEMPFAIL
    return 0
