//! Handlers at the paths that their descriptions name.
//!
//! What the API says of itself is made from the same handlers, but by a test, which keeps it in `openapi.json`. The binary
//! has that file instead of the code that makes it, which would be the largest part of management.

use axum::Router;
use axum::handler::Handler;
use axum::routing::MethodRouter;
use utoipa::Path;
use utoipa_axum::PathItemExt;
#[cfg(test)]
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

/// A router, and in tests the description of what it answers.
pub(crate) struct Routes<S> {
    router: Router<S>,
    #[cfg(test)]
    described: OpenApiRouter<S>,
}

/// What [`handlers!`] makes: the methods of one path.
pub(crate) struct Handlers<S> {
    pub(crate) methods: Methods<S>,
    #[cfg(test)]
    pub(crate) described: UtoipaMethodRouter<S>,
}

pub(crate) struct Methods<S> {
    path: String,
    router: MethodRouter<S>,
}

/// The handlers of one path, which their `utoipa::path` attributes name, and that of their module's if it is another's.
macro_rules! handlers {
    ($($first:ident $(:: $second:ident)?),+ $(,)?) => {
        $crate::routes::Handlers {
            methods: $crate::routes::Methods::new()
                $(.on($crate::routes::handlers!(@description $first $(:: $second)?), &$first $(:: $second)?))+,
            #[cfg(test)]
            described: utoipa_axum::routes!($($first $(:: $second)?),+),
        }
    };
    (@description $handler:ident) => { pastey::paste!([<__path_ $handler>]) };
    (@description $module:ident :: $handler:ident) => { pastey::paste!($module::[<__path_ $handler>]) };
}
pub(crate) use handlers;

impl<S: Clone + Send + Sync + 'static> Methods<S> {
    pub(crate) fn new() -> Self {
        Self {
            path: String::new(),
            router: MethodRouter::new(),
        }
    }

    pub(crate) fn on<P: Path, H: Handler<T, S>, T: 'static>(
        self,
        _description: P,
        handler: &H,
    ) -> Self {
        let path = P::path();
        debug_assert!(self.path.is_empty() || self.path == path, "{path}");
        let router = P::methods().iter().fold(self.router, |router, method| {
            router.on(method.to_method_filter(), handler.clone())
        });
        Self { path, router }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    pub(crate) fn new() -> Self {
        Self {
            router: Router::new(),
            #[cfg(test)]
            described: OpenApiRouter::new(),
        }
    }

    pub(crate) fn routes(self, handlers: Handlers<S>) -> Self {
        let Methods { path, router } = handlers.methods;
        Self {
            router: self.router.route(&path, router),
            #[cfg(test)]
            described: self.described.routes(handlers.described),
        }
    }

    /// What has no description of its own.
    pub(crate) fn route(self, path: &str, methods: MethodRouter<S>) -> Self {
        Self {
            router: self.router.route(path, methods),
            #[cfg(test)]
            described: self.described,
        }
    }

    pub(crate) fn merge(self, other: Self) -> Self {
        Self {
            router: self.router.merge(other.router),
            #[cfg(test)]
            described: self.described.merge(other.described),
        }
    }

    pub(crate) fn nest(self, path: &str, other: Self) -> Self {
        Self {
            router: self.router.nest(path, other.router),
            #[cfg(test)]
            described: self.described.nest(path, other.described),
        }
    }

    /// Changes how requests get there and answers come back, and nothing that the description says.
    pub(crate) fn within(self, change: impl FnOnce(Router<S>) -> Router<S>) -> Self {
        Self {
            router: change(self.router),
            #[cfg(test)]
            described: self.described,
        }
    }

    pub(crate) fn with_state<S2: Clone + Send + Sync + 'static>(self, state: S) -> Routes<S2> {
        Routes {
            #[cfg(test)]
            described: self.described.with_state(state.clone()),
            router: self.router.with_state(state),
        }
    }

    pub(crate) fn into_router(self) -> Router<S> {
        self.router
    }

    #[cfg(test)]
    pub(crate) fn into_openapi(self) -> utoipa::openapi::OpenApi {
        self.described.into_openapi()
    }
}
