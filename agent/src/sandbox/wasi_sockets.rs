//! `wasi:sockets` under the check's grants: our own name lookup, a look at every address at every use, and a cap on open
//! sockets. The rest is wasmtime's.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, Network};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, TcpSocket, UdpSocket, subscribe};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView as _};

use crate::model::grant::Protocol;

use super::egress::{ConnectError, Egress};
use super::store::Guest;

/// The version that wasmtime-wasi offers; guests of any 0.2 link to it.
const LOOKUP: &str = "wasi:sockets/ip-name-lookup@0.2.12";
const CREATE_TCP: &str = "wasi:sockets/tcp-create-socket@0.2.12";
const CREATE_UDP: &str = "wasi:sockets/udp-create-socket@0.2.12";

type Looking = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, ConnectError>> + Send>>;
type Verdict = Pin<Box<dyn Future<Output = bool> + Send + Sync>>;

/// A name lookup that goes on, or its answer.
enum Lookup {
    Going(Looking),
    Done(Result<std::vec::IntoIter<IpAddr>, ErrorCode>),
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        if let Self::Going(looking) = self {
            let answer = looking.await;
            *self = Self::Done(answer.map(Vec::into_iter).map_err(|error| code(&error)));
        }
    }
}

fn code(error: &ConnectError) -> ErrorCode {
    match error {
        ConnectError::Denied => ErrorCode::AccessDenied,
        ConnectError::NameNotFound => ErrorCode::NameUnresolvable,
        ConnectError::NameUnavailable => ErrorCode::TemporaryResolverFailure,
        _ => ErrorCode::PermanentResolverFailure,
    }
}

/// What wasmtime asks before a socket of a guest uses an address.
pub fn check(egress: Arc<Egress>) -> impl Fn(SocketAddr, SocketAddrUse) -> Verdict + Send + Sync + 'static {
    move |address, used| {
        let passes = match used {
            SocketAddrUse::TcpConnect => egress.permits(Protocol::Tcp, address),
            SocketAddrUse::UdpSend => egress.permits(Protocol::Udp, address),
            SocketAddrUse::UdpReceive => egress.takes_from(address),
            // What connecting does by itself: any address of this host, any free port.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind if address.ip().is_unspecified() && address.port() == 0 => {
                true
            }
            _ => {
                egress.refuse(format!("bind to {address} or listen there"));
                false
            }
        };
        Box::pin(std::future::ready(passes))
    }
}

/// Open sockets of `wasi:sockets`.
pub fn open(table: &mut ResourceTable) -> usize {
    table.iter_mut().filter(|entry| entry.is::<TcpSocket>() || entry.is::<UdpSocket>()).count()
}

/// Takes the place of what wasmtime's linker has under the same names.
pub fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    name_lookup(linker)?;
    linker.instance(CREATE_TCP)?.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<'_, Guest>, (family,): (IpAddressFamily,)| {
            let guest = store.data_mut();
            if guest.is_full_of_sockets() {
                guest.egress.full();
                return Ok((Err(ErrorCode::NewSocketLimit),));
            }
            let made = tcp_create_socket::Host::create_tcp_socket(&mut guest.sockets(), family);
            Ok((plain(made)?,))
        },
    )?;
    linker.instance(CREATE_UDP)?.func_wrap_async(
        "create-udp-socket",
        |mut store: StoreContextMut<'_, Guest>, (family,): (IpAddressFamily,)| {
            Box::new(async move {
                let guest = store.data_mut();
                if guest.is_full_of_sockets() {
                    guest.egress.full();
                    return Ok((Err(ErrorCode::NewSocketLimit),));
                }
                let made = udp_create_socket::Host::create_udp_socket(&mut guest.sockets(), family).await;
                Ok((plain(made)?,))
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// An error of the interface is the guest's to see; any other ends it.
fn plain<T>(made: Result<T, SocketError>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match made {
        Ok(socket) => Ok(Ok(socket)),
        Err(error) => error.downcast().map(Err),
    }
}

fn name_lookup(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut lookup = linker.instance(LOOKUP)?;
    lookup.resource(
        "resolve-address-stream",
        ResourceType::host::<Lookup>(),
        |mut store: StoreContextMut<'_, Guest>, rep| {
            store.data_mut().table.delete(Resource::<Lookup>::new_own(rep))?;
            Ok(())
        },
    )?;
    lookup.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, Guest>, (network, name): (Resource<Network>, String)| {
            let guest = store.data_mut();
            guest.table.get(&network)?;
            let egress = guest.egress.clone();
            let looking: Looking = Box::pin(async move { egress.lookup(&name).await });
            let lookup = guest.table.push(Lookup::Going(looking))?;
            Ok((Ok::<_, ErrorCode>(lookup),))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<'_, Guest>, (lookup,): (Resource<Lookup>,)| {
            Ok((next(store.data_mut().table.get_mut(&lookup)?),))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: StoreContextMut<'_, Guest>,
         (lookup,): (Resource<Lookup>,)|
         -> wasmtime::Result<(Resource<DynPollable>,)> {
            Ok((subscribe(&mut store.data_mut().table, lookup)?,))
        },
    )
}

fn next(lookup: &mut Lookup) -> Result<Option<IpAddress>, ErrorCode> {
    match lookup {
        Lookup::Going(_) => Err(ErrorCode::WouldBlock),
        Lookup::Done(Ok(addresses)) => Ok(addresses.next().map(IpAddress::from)),
        Lookup::Done(Err(code)) => Err(*code),
    }
}
