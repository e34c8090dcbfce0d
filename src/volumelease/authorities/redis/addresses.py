"""Where a Redis is, read from its address.

``redis://[[user]:password@]host[:port][/database]``, ``rediss://`` for TLS,
``unix://[[user]:password@]/path/of/socket[?db=database]``, and for a fleet with sentinels
``redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/service[/database]``
(``rediss+sentinel://``: TLS to all of them).

Parameters after ``?``, as redis-py has them: ``db``, ``username``, ``password``, ``ssl_ca_certs``,
``ssl_ca_path``, ``ssl_certfile``, ``ssl_keyfile``, ``ssl_cert_reqs`` (``required`` or ``none``),
``ssl_check_hostname``; for sentinels with a password of their own ``sentinel_username`` and
``sentinel_password``. ``@ / ? # %`` in a name or password are written as percent and two digits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn
from urllib.parse import parse_qsl, unquote

from volumelease.errors import SettingsInvalid
from volumelease.settings import Settings

URL_SETTING: Final = "VOLUMELEASE_REDIS_URL"
FILE_SETTING: Final = "VOLUMELEASE_REDIS_PASSWORD_FILE"
PORT: Final = 6_379
SENTINEL_PORT: Final = 26_379
LONGEST_PASSWORD: Final = 64 << 10

_TLS: Final = frozenset(
    {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"}
    | {"ssl_cert_reqs", "ssl_check_hostname"}
)
_NAMES: Final = frozenset({"db", "username", "password"})
_SENTINEL_NAMES: Final = frozenset({"sentinel_username", "sentinel_password"})
_SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_ADVICE: Final = (
    "Write redis://[user:password@]host[:port][/database], or with rediss:// (TLS), "
    "unix:///path/of/socket, redis+sentinel://host[:port][,host...]/service"
)
_ESCAPE: Final = "Write @ / ? # % in a name or password as %40 %2F %3F %23 %25"


class Password:
    """A password that only ``reveal`` shows: a text, or a file that is read each time, so that a
    changed one counts from the next connection on. ``""``: none."""

    __slots__ = ("_file", "_text")

    def __init__(self, text: str = "", file: str | None = None) -> None:
        self._text = text
        self._file = file

    def __repr__(self) -> str:
        return f"Password(file={self._file!r})" if self._file else "Password(hidden)"

    def __bool__(self) -> bool:
        return bool(self._text or self._file)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Password) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def _parts(self) -> tuple[str, str | None]:
        return self._text, self._file

    def reveal(self) -> str:
        """Errors: ``SettingsInvalid`` for a file that can't be read or holds none."""
        return self._text if self._file is None else _read(self._file)


NO_PASSWORD: Final = Password()


@dataclass(frozen=True, slots=True, repr=False)
class RedisAddress:
    """A parsed address. Neither ``str`` nor ``repr`` shows a password, nor a name that may be one
    that was put in the wrong place."""

    kind: Literal["tcp", "unix", "sentinel"]
    places: tuple[tuple[str, int], ...] = ()
    """(host, port): of the server, or of the sentinels."""
    path: str = ""
    service: str = ""
    database: int = 0
    username: str = ""
    password: Password = NO_PASSWORD
    tls: bool = False
    tls_options: tuple[tuple[str, str], ...] = ()
    sentinel_username: str = ""
    sentinel_password: Password = NO_PASSWORD

    @property
    def user(self) -> str:
        """The ACL user, in words."""
        if self.username and self.password:
            return f"user {self.username!r}"
        return "the user of the URL" if self.username else "the default user"

    def __str__(self) -> str:
        places = ",".join(_in_url(host, port) for host, port in self.places)
        match self.kind:
            case "unix":
                return f"unix://{self.path}" + (f"?db={self.database}" if self.database else "")
            case "sentinel":
                scheme, where = "redis+sentinel", f"{places}/{self.service}"
            case _:
                scheme, where = "redis", places
        secured = scheme.replace("redis", "rediss") if self.tls else scheme
        return f"{secured}://{where}" + (f"/{self.database}" if self.database else "")

    def __repr__(self) -> str:
        return f"RedisAddress({str(self)!r})"


def _in_url(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_of(url: str, password_file: str | None = None) -> RedisAddress:
    """The address that a URL means. ``password_file`` holds the password that the URL then must
    not; the file is read when a connection is made.

    Errors: ``SettingsInvalid``, whose text has nothing of the URL that could be a password.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES or "://" not in url:
        _refuse("", f"it must begin with {', '.join(f'{one}://' for one in _SCHEMES)}")
    if any("\ud800" <= character <= "\udfff" for character in url):
        _refuse(scheme, "it has bytes that are no UTF-8", _ESCAPE)
    # The last @ ends the credentials, whatever characters somebody forgot to escape in them.
    who, _, where = rest.rpartition("@")
    if set(who) & set("/?#@") or "#" in where:
        _refuse(scheme, "it has @, /, ? or # where none can be", _ESCAPE)
    username, _, password = who.partition(":")
    address = _of_place(scheme, where.partition("?")[0])
    address |= {"username": unquote(username), "password": Password(unquote(password))}
    address |= _of_parameters(scheme, where.partition("?")[2])
    found = RedisAddress(**address)
    if password_file is not None:
        if found.password:
            _refuse(scheme, f"it has a password, and {FILE_SETTING} names another", "Give one")
        found = RedisAddress(**(address | {"password": Password(file=password_file)}))
        found.password.reveal()  # a mistake is told now
    return found


def address_in(settings: Settings) -> RedisAddress | None:
    """The configured one, if there is one. Errors: as of ``address_of``."""
    if settings.redis_url is None:
        return None
    return address_of(settings.redis_url, settings.redis_password_file)


def _of_place(scheme: str, where: str) -> dict[str, Any]:
    if scheme == "unix":
        if not where.startswith("/"):
            _refuse(scheme, "the path of the socket must be absolute")
        path = unquote(where)
        if "\0" in path:
            _refuse(scheme, "the path of the socket has a NUL")
        return {"kind": "unix", "path": path}
    hosts, _, path = where.partition("/")
    tls = scheme.startswith("rediss")
    if not scheme.endswith("sentinel"):
        place = _place(scheme, hosts, PORT)
        return {
            "kind": "tcp",
            "places": (place,),
            "database": _database(scheme, path),
            "tls": tls,
        }
    places = tuple(_place(scheme, host, SENTINEL_PORT) for host in hosts.split(","))
    service, _, database = path.partition("/")
    if not service:
        _refuse(scheme, "the name of the service is missing")
    return {
        "kind": "sentinel",
        "places": places,
        "service": unquote(service),
        "database": _database(scheme, database),
        "tls": tls,
    }


def _place(scheme: str, text: str, port: int) -> tuple[str, int]:
    if text.startswith("["):
        host, closed, after = text[1:].partition("]")
        number = after.removeprefix(":") if closed and after[:1] in ("", ":") else after or "["
    else:
        host, _, number = text.partition(":")
    # What stands there is not shown: a password without its @ looks like a port. Nor is it left
    # to a function whose error would tell it.
    if number and not (_decimal(number) and 0 < int(number) < 65_536):
        _refuse(scheme, "host and port can't be read; the port must be a number from 1 to 65535")
    if not host:
        _refuse(scheme, "it names no host")
    if not (host.isascii() and host.isprintable() and _fits_dns(host)) or " " in host:
        _refuse(scheme, "it names a host that can't be one", "Write its name in ASCII (xn--...)")
    return host, int(number) if number else port


def _fits_dns(host: str) -> bool:
    return ":" in host or all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))


def _decimal(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 9


def _database(scheme: str, text: str) -> int:
    text = text.strip("/")
    if text and not _decimal(text):
        _refuse(scheme, "the database must be a number")
    return int(text or 0)


def _of_parameters(scheme: str, query: str) -> dict[str, Any]:
    known = _NAMES | (_TLS if scheme.startswith("rediss") else frozenset())
    known |= _SENTINEL_NAMES if scheme.endswith("sentinel") else frozenset()
    found: dict[str, Any] = {}
    tls: list[tuple[str, str]] = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            shown = f"parameter {name}" if value and name.isidentifier() else "a parameter"
            _refuse(scheme, f"{shown} is unknown here", f"Known: {', '.join(sorted(known))}")
        if name in _TLS:
            tls.append((name, _tls_value(scheme, name, value)))
        elif name == "db":
            found["database"] = _database(scheme, value)
        elif name.endswith("password"):
            found[name] = Password(value)
        else:
            found[name] = value
    if "ssl_keyfile" in dict(tls) and "ssl_certfile" not in dict(tls):
        _refuse(scheme, "ssl_keyfile needs ssl_certfile", "Name the certificate of that key")
    return found | {"tls_options": tuple(tls)}


def _tls_value(scheme: str, name: str, value: str) -> str:
    allowed = {
        "ssl_cert_reqs": ("required", "none"),
        "ssl_check_hostname": ("true", "false", "yes", "no", "1", "0"),
    }.get(name)
    if allowed and value.lower() not in allowed:
        _refuse(scheme, f"{name} must be {' or '.join(allowed)}")
    if not allowed and not os.path.exists(value):
        _refuse(scheme, f"{name}={value!r} is not there", "Correct the path")
    return value.lower() if allowed else value


def _read(path: str) -> str:
    problem = text = ""
    try:
        with open(path, "rb") as file:
            text = file.read(LONGEST_PASSWORD + 1).decode().strip("\r\n")
        if not text or len(text) > LONGEST_PASSWORD or "\n" in text:
            problem = "it must hold one line, the password"
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except ValueError:
        problem = "it is no UTF-8"
    if problem:
        raise SettingsInvalid(
            f"{FILE_SETTING}={path!r} can't be used: {problem}",
            advice="Name a file that holds the password of Redis on one line",
            setting=FILE_SETTING,
            value=path,
        )
    return text


def _refuse(scheme: str, why: str, advice: str = _ADVICE) -> NoReturn:
    raise SettingsInvalid(
        f"{URL_SETTING}={scheme + '://' if scheme else ''}(hidden): {why}",
        advice=advice,
        setting=URL_SETTING,
        value=None,
    ) from None
