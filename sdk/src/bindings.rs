//! The generated bindings of `wit/v0.1`.
//!
//! They never show in the SDK's face: every public type is our own and is converted at the edge, so that a later
//! track of the interface does not change a checker's source. Outside a component each import panics if it is
//! called; nothing in the SDK calls one unless a host gave it a run.

wit_bindgen::generate!({
    path: "wit/v0.1",
    world: "plugin",
    generate_all,
    // One type for all that can be waited for: a timer of wasi:clocks beside a stream of ours.
    with: { "wasi:io/poll@0.2.12": wasip2::io::poll },
    pub_export_macro: true,
    export_macro_name: "export_plugin",
    default_bindings_module: "vitald_sdk::__private::bindings",
});
