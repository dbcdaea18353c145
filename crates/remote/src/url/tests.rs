//! Spellings, and that nothing of an address is shown.

use super::*;
use proptest::prelude::*;

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp(host.into(), port)
}

fn secret(text: &str) -> Option<Secret> {
    Some(Secret::new(text))
}

#[test]
fn single_servers_are_read_as_redis_py_reads_them() {
    for (text, host, port, db) in [
        ("redis://localhost", "localhost", 6379, 0),
        ("redis://", "localhost", 6379, 0),
        ("valkey://Example.COM:7000/2", "example.com", 7000, 2),
        ("rediss://10.0.0.1:6380/?db=3", "10.0.0.1", 6380, 3),
        // The parameter counts before the path.
        ("redis://h/1?db=2", "h", 6379, 2),
        ("valkeys://[2001:DB8::1]:7/4", "2001:db8::1", 7, 4),
        ("redis://[::1]", "::1", 6379, 0),
        ("REDIS://h:/", "h", 6379, 0),
    ] {
        let url = Url::parse(text).unwrap();
        assert_eq!((url.servers, url.db), (Servers::Single(tcp(host, port)), db), "{text}");
        assert_eq!(url.tls.is_some(), text.starts_with("rediss") || text.starts_with("valkeys"));
    }
    let url = Url::parse("unix:///run/a%20b.sock?db=5").unwrap();
    assert_eq!((url.servers, url.db), (Servers::Single(Address::Unix("/run/a b.sock".into())), 5));
}

#[test]
fn logins_stand_before_the_host_or_in_parameters() {
    for (text, username, password) in [
        ("redis://:p%40ss@h", None, secret("p@ss")),
        ("redis://user:p:w@h", secret("user"), secret("p:w")),
        ("redis://user@h", secret("user"), None),
        ("redis://u:a@b@h", secret("u"), secret("a@b")),
        ("redis://h?username=u&password=p%2525", secret("u"), secret("p%")),
        ("redis://u:before@h?password=after", secret("u"), secret("before")),
        ("unix://u:p@/sock", secret("u"), secret("p")),
        ("redis://h", None, None),
    ] {
        assert_eq!(Url::parse(text).unwrap().login, Login { username, password }, "{text}");
    }
}

#[test]
fn sentinels_and_clusters_have_several_hosts() {
    let url = Url::parse("redis+sentinel://u:p@a,b:7,[::1]:8/mymaster/3?sentinel_password=s").unwrap();
    let login = Login { username: None, password: secret("s") };
    let sentinels = vec![tcp("a", 26379), tcp("b", 7), tcp("::1", 8)];
    assert_eq!(url.servers, Servers::Sentinel { sentinels, service: "mymaster".into(), login });
    assert_eq!((url.db, url.tls.is_some(), url.login.password), (3, false, secret("p")));
    let url = Url::parse("valkeys+cluster://a:1,b").unwrap();
    assert_eq!(url.servers, Servers::Cluster(vec![tcp("a", 1), tcp("b", 6379)]));
    assert!(url.tls.is_some());
    for scheme in ["redis", "rediss", "valkey", "valkeys"] {
        assert!(Url::parse(&format!("{scheme}+sentinel://a/s")).is_ok());
        assert!(Url::parse(&format!("{scheme}+cluster://a/0")).is_ok());
    }
}

#[test]
fn options_of_tls_are_redis_pys() {
    let text =
        "rediss://h?ssl_ca_certs=/ca.pem&ssl_certfile=/c&ssl_keyfile=/k&ssl_min_version=TLSv1_3&socket_timeout=5";
    let tls = Url::parse(text).unwrap().tls.unwrap();
    assert_eq!(tls.ca_file.as_deref(), Some("/ca.pem".as_ref()));
    assert_eq!((tls.certificate, tls.key), (Some("/c".into()), Some("/k".into())));
    assert!(tls.newest_only && tls.verify == Verify::Full);
    for (query, verify) in [
        ("", Verify::Full),
        ("ssl_cert_reqs=required", Verify::Full),
        ("ssl_cert_reqs=none", Verify::Nothing),
        ("ssl_cert_reqs=CERT_NONE&ssl_check_hostname=false", Verify::Nothing),
        ("ssl_check_hostname=False", Verify::Chain),
        ("ssl_check_hostname=0&ssl_cert_reqs=none", Verify::Nothing),
        ("ssl_check_hostname=1", Verify::Full),
    ] {
        assert_eq!(Url::parse(&format!("rediss://h?{query}")).unwrap().tls.unwrap().verify, verify, "{query}");
    }
}

#[test]
fn what_is_wrong_is_said_without_the_address() {
    for (text, part) in [
        ("h:6379", "the address"),
        ("http://h", "the address"),
        ("redis+other://h", "the address"),
        ("unix+cluster://h", "the address"),
        ("unix://relative", "the address"),
        ("redis://h\n", "the address"),
        ("redis://h:0", "the port"),
        ("redis://h:65536", "the port"),
        ("redis://h:+1", "the port"),
        ("redis://a,b", "the host"),
        ("redis://2001:db8::1", "the port"),
        ("redis://[nonsense]", "the host"),
        ("redis+cluster://a,,b", "the host"),
        ("redis+cluster://", "the host"),
        ("redis+cluster://a/1", "db"),
        ("redis+sentinel://a", "the path"),
        ("redis+sentinel://a/s/0/1", "the path"),
        ("redis://h/one", "the path"),
        ("redis://h?db=-1", "db"),
        ("redis://h?db=1e3", "db"),
        ("redis://h?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("rediss://h?ssl_cert_reqs=perhaps", "ssl_cert_reqs"),
        ("rediss://h?ssl_ciphers=x", "ssl_ciphers"),
        ("rediss://h?ssl_keyfile=x", "ssl_keyfile"),
        ("redis://h?sentinel_password=x", "sentinel_password"),
        ("redis://h?client_name=a%20b", "client_name"),
        ("redis://:pass?word=1@h", "a parameter of the address"),
        ("redis://h?hunter2", "a parameter of the address"),
    ] {
        assert_eq!(Url::parse(text).unwrap_err().part, part, "{text}");
    }
}

#[test]
fn canonical_names_tell_databases_apart_and_nothing_else() {
    let name = |text: &str| Url::parse(text).unwrap().canonical();
    for (a, b, same) in [
        ("redis://H", "valkey://u:p@h.:6379/0?socket_timeout=1", true),
        ("redis://h", "rediss://h?ssl_cert_reqs=none", true),
        ("redis://[::ffff:10.0.0.1]", "redis://10.0.0.1", true),
        ("redis://[2001:db8::1]", "redis://[2001:DB8:0::1]", true),
        ("redis+cluster://a,b", "redis+cluster://b:6379,a", true),
        ("unix:///a//b", "unix:///a/b?db=0", true),
        ("redis://h", "redis://h/1", false),
        ("redis://h", "redis://h:1", false),
        ("redis://a", "redis+cluster://a", false),
        ("redis+sentinel://a/s", "redis+sentinel://a/t", false),
        ("unix:///a", "unix:///b", false),
    ] {
        assert_eq!(name(a) == name(b), same, "{a} {b}");
    }
}

proptest! {
    /// An address of any kind, right or wrong, whose every part has the same unmistakable text.
    #[test]
    fn nothing_of_an_address_is_ever_shown(
        scheme in prop::sample::select(vec!["redis", "rediss", "unix", "valkeys+cluster", "redis+sentinel", "ж"]),
        parts in "[ж:@/?&=%,#\\[\\] ]{0,40}",
        known in prop::sample::select(vec!["", "?password=", "?ssl_ca_certs=", "?ssl_cert_reqs=", "?db=", "?ж="]),
    ) {
        let text = format!("{scheme}://{parts}{known}жж");
        let shown = match Url::parse(&text) {
            Ok(url) => format!("{url:?} {:?} {:?} {:?} {:?}", url.servers, url.login, url.canonical(), url.tls),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!shown.contains('ж'), "{}", shown);
    }

    #[test]
    fn no_text_panics(text in any::<String>(), scheme in "(redis|rediss|unix|valkey)(\\+(sentinel|cluster))?://") {
        let _ = Url::parse(&text);
        let _ = Url::parse(&format!("{scheme}{text}"));
    }
}
