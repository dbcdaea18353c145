//! A throw-away authority and what it signs.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// PEM files in a folder that goes with this.
pub struct Files {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    _directory: tempfile::TempDir,
}

/// A certificate for the name, of an authority of its own.
pub fn files(name: &str, expired: bool) -> Files {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    // (Two of one name would look like one that has signed itself.)
    ca.distinguished_name.push(DnType::CommonName, "an authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();

    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
    if expired {
        parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }
    let certificate = parameters.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).unwrap();

    let directory = tempfile::tempdir().unwrap();
    let write = |file: &str, text: String| {
        let path = directory.path().join(file);
        std::fs::write(&path, text).unwrap();
        path
    };
    Files {
        ca: write("ca.pem", ca_certificate.pem()),
        certificate: write("certificate.pem", certificate.pem()),
        key: write("key.pem", key.serialize_pem()),
        _directory: directory,
    }
}
