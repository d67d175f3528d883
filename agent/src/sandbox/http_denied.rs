//! `wasi:http` is linked so that any toolchain's component loads; every request is refused until it goes through
//! [`super::egress`] like everything else.

use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

type Response = (hyper::http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

#[derive(Debug, Default)]
pub struct DenyAll;

impl WasiHttpHooks for DenyAll {
    fn send_request(
        &mut self,
        _: hyper::http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = wasmtime_wasi_http::Result<Response>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
