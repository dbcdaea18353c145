//! `SSL_CERT_FILE`: a process of its own, since roots are read once.

mod support;

use remote::connection::Target;
use remote::error::Error;
use remote::url::{Servers, Url};

#[test]
fn the_systems_roots_are_those_of_ssl_cert_file_and_are_read_once() {
    let url = Url::parse("rediss://localhost").unwrap();
    let target = || {
        let Servers::Single(address) = url.servers.clone() else { unreachable!() };
        Target::new(&url, address)
    };
    let directory = tempfile::tempdir().unwrap();
    std::env::remove_var("SSL_CERT_DIR");
    std::env::set_var("SSL_CERT_FILE", directory.path().join("none.pem"));
    assert!(matches!(target(), Err(Error::Tls(what)) if what.contains("SSL_CERT_FILE")));
    let files = support::certificates::files("localhost", false);
    std::env::set_var("SSL_CERT_FILE", &files.ca);
    assert!(target().is_ok());
    // Whatever becomes of the file.
    drop(files);
    assert!(target().is_ok());
}
