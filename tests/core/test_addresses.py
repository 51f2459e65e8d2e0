import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uniref.core.addresses import hide_passwords, is_address, is_private, parse_address, plain, shown
from uniref.core.errors import UniRefError
from uniref.core.text import printable


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTPS://Example.COM:443/a b/ü?x=ä y#part", "https://example.com/a%20b/%C3%BC?x=%C3%A4%20y"),
        ("https://münchen.example/a.zip", "https://xn--mnchen-3ya.example/a.zip"),
        ("https://me:pass@example.com:8443/100%/a%20b", "https://example.com:8443/100%25/a%20b"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http://example.com:/x", "http://example.com/x"),
        ("http://example.com/%E6%95%B0?a=1&b=%2F", "http://example.com/%E6%95%B0?a=1&b=%2F"),
    ],
)
def test_what_is_asked_for(text: str, request_: str) -> None:
    assert parse_address(text).request == request_


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://example.com/x", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("http:///x", "names no host"),
        ("http://:80/x", "names no host"),
        ("http://example.com:port/x", "its port is not valid"),
        ("http://example.com:99999/x", "its port is not valid"),
        ("http://example.com:0/x", "its port is not valid"),
        ("http://example.com:-1/x", "its port is not valid"),
        ("http://exa mple.com/x", "its host is not valid"),
        ("http://exa\\mple.com/x", "its host is not valid"),
        ("http://[::1/x", "its host is not valid"),
        ("http://[zz::1]/x", "its host is not valid"),
        ("http://a..b/x", "IDNA"),
        (f"http://{'ü' * 80}.de/x", "IDNA"),
        ("http://example.com/a%00.zip", "percent-encoded control"),
        ("http://example.com/?a=%0d%0aX:1", "percent-encoded control"),
        ("http://example.com/a\nb", "control character"),
        ("http://example.com/a\x1b[2Jb", "control character"),
        ("http://example.com/\ud800", "not allowed in an address"),
        (f"http://example.com/{'a' * 9000}", "longer than"),
    ],
)
def test_what_is_no_address(text: str, message: str) -> None:
    with pytest.raises(UniRefError, match=message) as caught:
        parse_address(text)
    assert str(caught.value).isprintable()


def test_users_and_passwords_are_kept_apart_and_never_shown() -> None:
    address = parse_address("https://me:geh%20eim@example.com/a?token=abc&x=1")
    assert address.authorisation == "Basic bWU6Z2VoIGVpbQ=="
    assert str(address) == "https://example.com/a?token=***&x=1"
    assert address.request.endswith("token=abc&x=1")
    assert shown("https://me:geheim@example.com/a") == "https://***@example.com/a"
    assert shown("http://me:p@ss@host/a@b") == "http://***@host/a@b"
    assert shown("https://h/a?X-Amz-Credential=A&X-Amz-Signature=B&n=1#k") == (
        "https://h/a?X-Amz-Credential=***&X-Amz-Signature=***&n=1#k"
    )
    for text in ("http://me:geheim@h:bad/x", "ftp://me:geheim@h/x", "http://me:geheim@a..b/"):
        with pytest.raises(UniRefError) as caught:
            parse_address(text)
        assert "geheim" not in str(caught.value)


def test_redirects() -> None:
    start = parse_address("https://me:geheim@example.com/a/b")
    assert start.follow("c?d").request == "https://example.com/a/c?d"
    assert start.follow("/c").authorisation
    for other in ("https://other.com/", "https://example.com:444/", "//other.com/x"):
        assert not start.follow(other).authorisation
    assert not start.follow("https://a:b@other.com/").authorisation
    for wrong in ("http://example.com/", "file:///etc/passwd", "data:,x", "http://[/", "https://x:y/"):
        with pytest.raises(UniRefError, match="redirects"):
            start.follow(wrong)


@pytest.mark.parametrize(
    ("ip", "private"),
    [
        ("8.8.8.8", False),
        ("2606:4700::1111", False),
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("192.168.1.1", True),
        ("169.254.169.254", True),
        ("100.64.0.1", True),
        ("0.0.0.0", True),  # noqa: S104 - not bound to
        ("::1", True),
        ("fe80::1%eth0", True),
        ("fd00::1", True),
        ("::ffff:10.0.0.1", True),
        ("::ffff:8.8.8.8", False),
        ("2002:7f00:1::", True),
        ("64:ff9b::a00:1", True),
        ("64:ff9b::808:808", False),
    ],
)
def test_private_addresses(ip: str, private: bool) -> None:
    assert is_private(ip) is private


def test_passwords_anywhere_in_a_line() -> None:
    line = "x: https://me:geheim@h/a and ftp://me:ge@heim@h; https:/me:geheim@h/b: no such file; me@example.com"
    assert hide_passwords(line) == ("x: https://***@h/a and ftp://***@h; https:/***@h/b: no such file; me@example.com")
    assert printable(line) == hide_passwords(line)
    assert hide_passwords("a" * 10**6 + "://") == "a" * 10**6 + "://"


def test_words() -> None:
    assert plain("Not\x1b[2J Found\r\nX\u202e") == "Not\\x1b[2J Found\\r\\nX\\u202e"
    assert plain("a" * 30, 10) == "a" * 10 + "..."
    assert is_address("HTTP://x")
    assert not is_address("C:/x")


@settings(max_examples=500, deadline=None)
@given(
    st.text(max_size=60), st.sampled_from(["", "http://", "https://", "https://a:b@", "http://h:", "http://h/", "//"])
)
@pytest.mark.slow
def test_any_text_is_an_address_or_told_in_one_line(text: str, start: str) -> None:
    try:
        address = parse_address(start + text)
    except UniRefError as problem:
        assert str(problem).isprintable()
        return
    assert address.request.isascii()
    assert str(address).isprintable()
    assert parse_address(address.request).request == address.request
