use super::*;
use vitald_sdk::Endpoint;

fn login(url: &str) -> Result<Login> {
    Login::of(&Target::new(url, vec![Endpoint::new("db", 3306)]))
}

fn with(password: &str) -> Login {
    login(&format!("mysql://health:{password}@db/orders")).unwrap()
}

/// A greeting of MariaDB 10.11, as it came over the wire.
const GREETING: &[u8] =
    b"\x0a5.5.5-10.11.6-MariaDB-0+deb12u1\x00\x2a\x00\x00\x00abcdefgh\x00\xfe\xf7\x2d\x02\x00\xff\x81\x15\
    \x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00ijklmnopqrst\x00mysql_native_password\x00";

#[test]
fn a_target_says_who_where_and_how() {
    let login = login("mysql://health:p%40ss@db/the%20orders?ssl-mode=VERIFY_CA").unwrap();
    assert_eq!((login.user.as_str(), login.password.as_str()), ("health", "p@ss"));
    assert_eq!((login.database.as_deref(), login.mode), (Some("the orders"), SslMode::VerifyCa));
}

#[test]
fn what_is_left_out_has_a_default() {
    let login = login("mysql://db").unwrap();
    assert_eq!((login.user.as_str(), login.password.as_str(), login.database), ("", "", None));
    assert_eq!(login.mode, SslMode::Preferred);
}

#[test]
fn keys_that_are_not_known_are_refused_with_those_that_are() {
    let error = login("mysql://db/?sslmode=require").err().unwrap();
    assert_eq!(error.message(), "target, behind the ?: unknown field `sslmode`, expected `ssl-mode`");
    assert!(!error.is_down());
    let error = login("mysql://db/?ssl-mode=on").err().unwrap();
    assert!(error.message().contains("`verify_identity`"), "{error}");
}

#[test]
fn a_greeting_is_read() {
    let greeting = greeting(GREETING).unwrap();
    assert_eq!(greeting.server_version_str(), "5.5.5-10.11.6-MariaDB-0+deb12u1");
    assert_eq!(greeting.nonce(), b"abcdefghijklmnopqrst");
    assert_eq!(greeting.auth_plugin(), Some(AuthPlugin::MysqlNativePassword));
    // MariaDB leaves out the bit for long passwords, to be told from MySQL.
    assert_eq!(WANTED - greeting.capabilities(), CapabilityFlags::CLIENT_LONG_PASSWORD);
}

#[test]
fn what_is_no_greeting_is_not_mysql() {
    for packet in [&b""[..], b"\x0a", b"\x09old\x00", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x0a8.0.1\x00\x01\x00"] {
        assert!(greeting(packet).unwrap_err().message().contains("not MySQL"), "{packet:?}");
    }
    for end in 0..GREETING.len() {
        // Whatever comes of half a greeting: no panic.
        let _ = greeting(&GREETING[..end]);
    }
    // A challenge of a length that overflows a signed byte.
    for length in 0..=255 {
        let mut packet = GREETING.to_vec();
        let at = packet.iter().position(|byte| *byte == 0).unwrap() + 21;
        packet[at] = length;
        assert!(greeting(&packet).is_err() || length < 128, "{length}");
    }
}

/// From the tests of MySQL's own client (`scramble_generator_simple_test`), as mysql_common has them.
#[test]
fn caching_sha2_password_answers_as_published() {
    let nonce = [
        0x4e, 0x52, 0x33, 0x48, 0x50, 0x3a, 0x71, 0x49, 0x59, 0x61, 0x5f, 0x39, 0x3d, 0x64, 0x62, 0x3f, 0x53, 0x64,
        0x7b, 0x60,
    ];
    let answer = with("G!ider27").answer(&AuthPlugin::CachingSha2Password, &nonce, false).unwrap();
    assert_eq!(
        answer,
        [
            0x4f, 0x97, 0xbb, 0xfd, 0x20, 0x24, 0x01, 0xc4, 0x2a, 0x69, 0xde, 0xaa, 0xe5, 0x3b, 0xda, 0x07, 0x7e, 0xd7,
            0x57, 0x85, 0x63, 0xc1, 0xa8, 0x0e, 0xb8, 0x16, 0xc8, 0x21, 0x19, 0xb6, 0x8d, 0x2e,
        ]
    );
    assert!(with("x").answer(&AuthPlugin::CachingSha2Password, &nonce[..8], false).is_err());
}

#[test]
fn no_password_is_an_empty_answer() {
    assert_eq!(with("").answer(&AuthPlugin::CachingSha2Password, &[1; 20], false).unwrap(), b"");
    assert_eq!(with("").answer(&AuthPlugin::MysqlNativePassword, &[1; 20], false).unwrap(), b"");
}

#[test]
fn other_plugins_are_named() {
    for name in ["auth_gssapi_client", "mysql_clear_password", "mysql_old_password"] {
        let why = with("x").answer(&AuthPlugin::from_bytes(name.as_bytes()), b"", true).unwrap_err();
        assert!(why.contains(name), "{why}");
    }
}

#[test]
fn the_password_itself_goes_over_tls_only() {
    let answer = |has_tls| with("x").answer(&AuthPlugin::Sha256Password, &[1; 20], has_tls);
    assert_eq!(answer(true).unwrap(), b"x\0");
    assert!(answer(false).unwrap_err().contains("over TLS only"));
}

#[test]
fn ed25519_signs_challenges_of_the_right_length() {
    assert_eq!(with("x").answer(&AuthPlugin::Ed25519, &[7; 32], false).unwrap().len(), 64);
    assert!(with("x").answer(&AuthPlugin::Ed25519, &[7; 31], false).is_err());
}
