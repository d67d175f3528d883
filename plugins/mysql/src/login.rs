//! From the server's greeting to its OK: TLS, and the health user's password in the way that the server asks for.
//!
//! The password itself goes over TLS only. Nothing here breaks off in the middle: a server counts that and blocks this host
//! after `max_connect_errors` (100) in a row. Whoever cannot go on gives an empty answer, and is refused.

use mysql_common::auth::plugins::caching_sha2_password::scramble_sha256;
use mysql_common::auth::plugins::client_ed25519::ClientEd25519;
use mysql_common::auth::plugins::mysql_native_password::scramble_native;
use mysql_common::auth::plugins::{ChallengeResponsePlugin, Context};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::MySerialize;
use vitald_sdk::Host;
use vitald_sdk::prelude::*;

use crate::link::{Link, Stop, not_mysql};

/// All of a log-in takes less than a tenth of it.
const MAX_HANDSHAKE: usize = 16 * 1024;
/// A switch of the plugin, and two more words.
const MAX_STEPS: usize = 8;
/// A version that has utf8mb4, and the number of utf8mb4_general_ci.
const UTF8MB4: (u16, u16, u16) = (5, 5, 3);
const CHARACTERS: u8 = 45;
/// The longest packet that we would send.
const MAX_PACKET: u32 = 1 << 24;
const WANTED: CapabilityFlags = CapabilityFlags::CLIENT_LONG_PASSWORD
    .union(CapabilityFlags::CLIENT_LONG_FLAG)
    .union(CapabilityFlags::CLIENT_PROTOCOL_41)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA);

/// What stands behind the `?`.
#[params]
#[derive(Default)]
#[serde(default, rename_all = "kebab-case")]
struct Options {
    ssl_mode: SslMode,
}

/// Whether to speak TLS, in MySQL's words; the host verifies the server wherever it does, so that the last three are one.
#[params]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum SslMode {
    #[serde(alias = "DISABLED")]
    Disabled,
    #[default]
    #[serde(alias = "PREFERRED")]
    Preferred,
    #[serde(alias = "REQUIRED")]
    Required,
    #[serde(alias = "VERIFY_CA")]
    VerifyCa,
    #[serde(alias = "VERIFY_IDENTITY")]
    VerifyIdentity,
}

/// What a target says of a log-in.
#[derive(Default)]
pub(crate) struct Login {
    user: String,
    password: String,
    database: Option<String>,
    mode: SslMode,
}

impl Login {
    pub(crate) fn of(target: &Target) -> Result<Self> {
        Ok(Self {
            user: target.user().unwrap_or_default(),
            password: target.password().unwrap_or_default(),
            database: target.database(),
            mode: target.options::<Options>()?.ssl_mode,
        })
    }

    /// Logs in; the server's version.
    pub(crate) async fn enter(&self, link: &mut Link, host: &Host<'_>) -> Result<String, Stop> {
        link.allow(MAX_HANDSHAKE, not_mysql());
        let packet = link.read().await?;
        let greeting = greeting(&packet)?;
        let mut flags = WANTED & greeting.capabilities();
        // MySQL holds to what stood in the request for TLS, whatever the response says.
        flags.set(CapabilityFlags::CLIENT_CONNECT_WITH_DB, self.database.is_some());
        let has_tls = self.mode != SslMode::Disabled && greeting.capabilities().contains(CapabilityFlags::CLIENT_SSL);
        if has_tls {
            flags |= CapabilityFlags::CLIENT_SSL;
            link.write(&bytes_of(&SslRequest::new(flags, MAX_PACKET, CHARACTERS))).await?;
            link.start_tls(host)?;
        }
        if !has_tls && !matches!(self.mode, SslMode::Disabled | SslMode::Preferred) {
            // Lets nobody log in, so that it is the server that ends the talk. What it says to nobody is of no interest.
            let _ = Self::default().authenticate(link, &greeting, flags, false).await;
            link.quit().await;
            return Err(Error::down("the server offers no TLS, and ssl-mode asks for it").into());
        }
        self.authenticate(link, &greeting, flags, has_tls).await?;
        let version = greeting.server_version_str();
        // MariaDB hides its own behind one that old replicas accept.
        Ok(version.strip_prefix("5.5.5-").unwrap_or(&version).to_owned())
    }

    async fn authenticate(
        &self,
        link: &mut Link,
        greeting: &HandshakePacket<'_>,
        flags: CapabilityFlags,
        has_tls: bool,
    ) -> Result<(), Stop> {
        let offered = greeting.auth_plugin().unwrap_or(AuthPlugin::MysqlNativePassword);
        // A plugin that is not ours need not be this user's: the server asks for another one then.
        let (plugin, answer) = match self.answer(&offered, &greeting.nonce(), has_tls) {
            Ok(answer) => (offered, answer),
            Err(_) => (AuthPlugin::MysqlNativePassword, Vec::new()),
        };
        link.write(&self.response(answer, plugin, flags)).await?;
        for _ in 0..MAX_STEPS {
            let packet = link.read().await?;
            let answer = match packet.as_slice() {
                [0x00, ..] => return Ok(()),
                [0x01, 3] => continue,
                [0x01, 4] => self.in_clear(has_tls),
                [0xfe] => Err("the health user has a password from before MySQL 4.1".into()),
                [0xfe, ..] => {
                    let asked: AuthSwitchRequest<'_> = ParseBuf(&packet).parse(()).map_err(|_| not_mysql())?;
                    self.answer(&asked.auth_plugin(), asked.plugin_data(), has_tls)
                }
                _ => break,
            };
            link.write(answer.as_deref().unwrap_or_default()).await?;
            if let Err(why) = answer {
                let _ = link.read().await;
                return Err(Stop::Refused(why));
            }
        }
        Err(not_mysql().into())
    }

    fn answer(&self, plugin: &AuthPlugin<'_>, nonce: &[u8], has_tls: bool) -> Result<Vec<u8>, String> {
        let password = self.password.as_bytes();
        let broken = || "the server's challenge has the wrong length".to_owned();
        match plugin {
            AuthPlugin::MysqlNativePassword => Ok(scramble_native(nonce, password).map(Vec::from).unwrap_or_default()),
            AuthPlugin::CachingSha2Password => {
                let nonce = nonce.try_into().map_err(|_| broken())?;
                Ok(scramble_sha256(nonce, password).map(Vec::from).unwrap_or_default())
            }
            AuthPlugin::Sha256Password => self.in_clear(has_tls),
            AuthPlugin::Ed25519 => {
                let signed = ClientEd25519::default().run(Secret(password), nonce).map_err(|_| broken())?;
                Ok(signed.data().unwrap_or_default().to_vec())
            }
            // Servers invent one for users that they do not have.
            other => {
                let name = String::from_utf8_lossy(other.as_bytes());
                Err(format!("the health user is unknown, or logs in by {name}, which a health check cannot"))
            }
        }
    }

    fn in_clear(&self, has_tls: bool) -> Result<Vec<u8>, String> {
        match has_tls {
            true => Ok([self.password.as_bytes(), &[0]].concat()),
            false => {
                Err("the server wants the password itself, which goes over TLS only: set ssl-mode=required".into())
            }
        }
    }

    fn response(&self, answer: Vec<u8>, plugin: AuthPlugin<'_>, flags: CapabilityFlags) -> Vec<u8> {
        let database = self.database.as_ref().map(|name| name.as_bytes());
        let user = Some(self.user.as_bytes());
        bytes_of(&HandshakeResponse::new(Some(answer), UTF8MB4, user, database, Some(plugin), flags, None, MAX_PACKET))
    }
}

fn greeting(packet: &[u8]) -> Result<HandshakePacket<'_>> {
    // Behind the version and 20 bytes stands the length of the challenge: mysql_common counts with it as signed.
    let version = packet.iter().position(|byte| *byte == 0).unwrap_or_default();
    match (packet.first(), packet.get(version + 21)) {
        (Some(10), Some(0..=127)) => ParseBuf(packet).parse(()).map_err(|_| not_mysql()),
        _ => Err(not_mysql()),
    }
}

fn bytes_of(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

/// The password, as mysql_common asks for it.
struct Secret<'a>(&'a [u8]);

impl Context for Secret<'_> {
    fn pass(&self) -> &[u8] {
        self.0
    }
    fn is_ipc_transport(&self) -> bool {
        false
    }
    fn is_tls_transport(&self) -> bool {
        false
    }
    fn scramble(&self) -> &[u8] {
        &[]
    }
    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
