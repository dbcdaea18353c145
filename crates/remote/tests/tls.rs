//! TLS: what is accepted, what is rejected and with which words, and peers that do not play along.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use remote::connection::{Connection, Target};
use remote::error::Error;
use remote::secret::Login;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use support::certificates::{files, Files};
use support::{drain, hostile, late, open, soon, target, HELLO};

fn config(files: &Files, versions: &[&'static SupportedProtocolVersion], wants_certificate: bool) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.ca).unwrap()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
    let builder = if wants_certificate {
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
    let config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(&files.key).unwrap()).unwrap();
    Arc::new(config)
}

/// A server that says HELLO over TLS; its URL, without parameters.
fn server(files: &Files, versions: &[&'static SupportedProtocolVersion], wants_certificate: bool) -> String {
    let config = config(files, versions, wants_certificate);
    let url = hostile(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
        let mut request = [0; 4096];
        if stream.read(&mut request).is_ok_and(|read| read > 0) && stream.write_all(HELLO).is_ok() {
            drain(stream);
        }
    });
    url.replace("redis://127.0.0.1", "rediss://localhost")
}

fn refused(outcome: Result<remote::connection::Connection, Error>) -> &'static str {
    match outcome {
        Err(Error::Tls(what)) => what,
        outcome => panic!("{:?}", outcome.err()),
    }
}

#[test]
fn chain_name_and_date_are_checked() {
    let [good, other, expired] = [files("localhost", false), files("other.example", false), files("localhost", true)];
    let by = |files: &Files| format!("ssl_ca_certs={}", files.ca.display());
    let at =
        |files: &Files, query: String| open(&format!("{}?{query}", server(files, rustls::ALL_VERSIONS, false)), late());

    assert_eq!(at(&good, by(&good)).unwrap().peer().protocol, 3);
    assert!(refused(at(&good, by(&other))).contains("unknown issuer"));
    assert!(refused(at(&other, by(&other))).contains("another name"));
    assert!(refused(at(&expired, by(&expired))).contains("expired"));
    // An address is a name as well, and this certificate has none.
    let by_address = server(&good, rustls::ALL_VERSIONS, false).replace("localhost", "127.0.0.1");
    assert!(refused(open(&format!("{by_address}?{}", by(&good)), late())).contains("another name"));

    // Who asks for less gets it: no name, but chain and date; or nothing at all.
    let unnamed = |files| format!("{}&ssl_check_hostname=false", by(files));
    assert!(at(&other, unnamed(&other)).is_ok());
    assert!(refused(at(&other, unnamed(&good))).contains("unknown issuer"));
    assert!(refused(at(&expired, unnamed(&expired))).contains("expired"));
    for files in [&good, &other, &expired] {
        assert!(at(files, "ssl_cert_reqs=none".into()).is_ok());
    }
}

#[test]
fn versions() {
    let files = files("localhost", false);
    let ca = format!("ssl_ca_certs={}", files.ca.display());
    let old = server(&files, &[&rustls::version::TLS12], false);
    assert!(open(&format!("{old}?{ca}"), late()).is_ok());
    refused(open(&format!("{old}?{ca}&ssl_min_version=TLSv1_3"), late()));
    let new = server(&files, &[&rustls::version::TLS13], false);
    assert!(open(&format!("{new}?{ca}&ssl_min_version=TLSv1_3"), late()).is_ok());
}

#[test]
fn a_certificate_of_the_clients_is_shown_if_it_is_named() {
    let files = files("localhost", false);
    let url = format!("{}?ssl_ca_certs={}", server(&files, rustls::ALL_VERSIONS, true), files.ca.display());
    let (certificate, key) = (files.certificate.display(), files.key.display());
    assert!(open(&format!("{url}&ssl_certfile={certificate}&ssl_keyfile={key}"), late()).is_ok());
    assert!(open(&url, late()).is_err());
}

#[test]
fn unusable_files_are_named_by_their_parameter() {
    let files = files("localhost", false);
    let (ca, key) = (files.ca.display(), files.key.display());
    for (query, name) in [
        ("ssl_ca_certs=/nowhere.pem".to_owned(), "ssl_ca_certs"),
        (format!("ssl_ca_certs={key}"), "ssl_ca_certs"),
        ("ssl_ca_data=nonsense".to_owned(), "ssl_ca_data"),
        (format!("ssl_ca_certs={ca}&ssl_certfile={ca}"), "ssl_certfile"),
        (format!("ssl_ca_certs={ca}&ssl_certfile={ca}&ssl_keyfile=/nowhere.pem"), "ssl_keyfile"),
        (format!("ssl_ca_certs={ca}&ssl_certfile={ca}&ssl_keyfile={key}"), "ssl_keyfile"),
    ] {
        let url = remote::url::Url::parse(&format!("rediss://localhost?{query}")).unwrap();
        let remote::url::Servers::Single(address) = url.servers.clone() else { unreachable!() };
        match remote::connection::Target::new(&url, address).unwrap_err() {
            Error::Option(found, what) => assert!(found == name && !what.contains('/'), "{query}: {found} {what}"),
            error => panic!("{error:?}"),
        }
    }
}

/// Authority, certificate and key by another authority: the server's, the client's.
#[test]
fn files_that_change_are_read_at_the_next_connect() {
    let (old, new) = (files("localhost", false), files("localhost", false));
    let directory = tempfile::tempdir().unwrap();
    let [ca, certificate, key] = ["ca", "certificate", "key"].map(|name| directory.path().join(name));
    let place = |files: &Files| {
        for (from, to) in [(&files.ca, &ca), (&files.certificate, &certificate), (&files.key, &key)] {
            // As who rotates them does: beside, then in its place.
            std::fs::copy(from, to.with_extension("new")).unwrap();
            std::fs::rename(to.with_extension("new"), to).unwrap();
        }
    };
    place(&old);
    let by = [("ssl_ca_certs", &ca), ("ssl_certfile", &certificate), ("ssl_keyfile", &key)];
    let query = by.map(|(name, path)| format!("{name}={}", path.display())).join("&");
    let [at_old, at_new] =
        [&old, &new].map(|files| target(&format!("{}?{query}", server(files, rustls::ALL_VERSIONS, true))));
    let connect = |(target, login): &(Target, Login)| Connection::open(target, login, late());
    assert!(connect(&at_old).is_ok());
    assert!(refused(connect(&at_new)).contains("unknown issuer"));
    place(&new);
    assert!(connect(&at_new).is_ok());
    assert!(refused(connect(&at_old)).contains("unknown issuer"));
    // One that is damaged is named, as long as it is.
    for (name, path) in by {
        let sound = std::fs::read(path).unwrap();
        std::fs::write(path, "damaged").unwrap();
        for _ in 0..2 {
            assert!(matches!(connect(&at_new), Err(Error::Option(found, _)) if found == name), "{name}");
        }
        std::fs::write(path, sound).unwrap();
        assert!(connect(&at_new).is_ok(), "{name}");
    }
    // A directory of authorities likewise.
    let authorities = tempfile::tempdir().unwrap();
    let authority = authorities.path().join("authority.pem");
    std::fs::copy(&old.ca, &authority).unwrap();
    let url = server(&new, rustls::ALL_VERSIONS, false);
    let by_directory = target(&format!("{url}?ssl_ca_path={}", authorities.path().display()));
    assert!(refused(connect(&by_directory)).contains("unknown issuer"));
    std::fs::copy(&new.ca, &authority).unwrap();
    assert!(connect(&by_directory).is_ok());
}

#[test]
fn peers_that_do_not_speak_tls_end_by_words_or_deadline() {
    let files = files("localhost", false);
    let tls = |url: String| format!("{}?ssl_ca_certs={}", url.replace("redis:", "rediss:"), files.ca.display());
    assert_eq!(open(&tls(hostile(drain)), soon()).err(), Some(Error::Timeout));
    let plain = |mut stream: TcpStream| {
        let _ = stream.write_all(b"-ERR Protocol error\r\n");
        drain(stream);
    };
    refused(open(&tls(hostile(plain)), late()));
    let garbage = |mut stream: TcpStream| while stream.write_all(&[22; 4096]).is_ok() {};
    refused(open(&tls(hostile(garbage)), late()));
    // The header of a handshake's record, and then a byte now and then.
    let drip = |mut stream: TcpStream| {
        let _ = stream.write_all(&[22, 3, 3, 0x40, 0]);
        while stream.write_all(&[2]).is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    assert_eq!(open(&tls(hostile(drip)), soon()).err(), Some(Error::Timeout));
    assert!(open(&tls(hostile(drop)), late()).err().unwrap().is_unreachable());
}

/// Records without content, which give the reader nothing to return.
#[test]
fn changes_of_keys_without_an_end_are_refused() {
    let files = files("localhost", false);
    let config = config(&files, &[&rustls::version::TLS13], false);
    let url = hostile(move |mut stream| {
        let mut tls = ServerConnection::new(config.clone()).unwrap();
        if rustls::Stream::new(&mut tls, &mut stream).read(&mut [0; 4096]).is_err() {
            return;
        }
        tls.writer().write_all(HELLO).unwrap();
        while tls.write_tls(&mut stream).is_ok() && tls.refresh_traffic_keys().is_ok() {}
    });
    let url = format!("{}?ssl_ca_certs={}", url.replace("redis://127.0.0.1", "rediss://localhost"), files.ca.display());
    // They come as fast as the peer writes: while it is greeted, or while it is asked.
    match open(&url, late()) {
        Ok(mut connection) => {
            assert!(matches!(connection.request(&redis::cmd("PING"), late()), Err(Error::Tls(_))));
            assert!(!connection.is_usable());
        }
        Err(error) => assert!(matches!(error, Error::Tls(_)), "{error:?}"),
    }
}
