//! The collections in the API's description of itself.

use firewall::config::document::{InspectionProfile, Interface, Route, Service, UrlList};
use nat::document::{DestinationRule, Pool, SourceRule, StaticRule};
use rules::document::{ApplicationItem, Feed, Policy, Schedule, Zone};
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{
    ArrayBuilder, ContentBuilder, HttpMethod, Object, ObjectBuilder, OpenApi, PathItem, Ref, RefOr,
    Required, ResponseBuilder, Schema, Type,
};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::answer::EditedView;
use super::collection::{Collection, ListQuery, Move, PlaceQuery};

/// Schemas by name; the first is the resource's.
struct Described {
    name: String,
    resource: Schema,
    others: Vec<(String, RefOr<Schema>)>,
}

/// The name of an entry's schema, and the schema with the name in it.
fn described(collection: &Collection) -> Described {
    match collection.path {
        "interfaces" => named::<Interface>(),
        "zones" => named::<Zone>(),
        "addresses" => listed::<String>("AddressObject", "addresses"),
        "feeds" => named::<Feed>(),
        "url-lists" => named::<UrlList>(),
        "services" => named::<Service>(),
        "inspection" => named::<InspectionProfile>(),
        "schedules" => named::<Schedule>(),
        "applications" => listed::<ApplicationItem>("Application", "terms"),
        "policies" => plain::<Policy>(),
        "routes" => plain::<Route>(),
        "nat/pools" => named::<Pool>(),
        "nat/source" => plain::<SourceRule>(),
        "nat/destination" => plain::<DestinationRule>(),
        "nat/static" => plain::<StaticRule>(),
        other => panic!("nothing describes the collection '{other}'"),
    }
}

/// An entry of a list, which has its name.
fn plain<T: ToSchema>() -> Described {
    let mut others = Vec::new();
    T::schemas(&mut others);
    Described {
        name: T::name().into_owned(),
        resource: object::<T>().into(),
        others,
    }
}

/// An entry of a map, and its name.
fn named<T: ToSchema>() -> Described {
    let mut resource = object::<T>();
    resource.properties.insert("name".into(), String::schema());
    resource.required.push("name".into());
    Described {
        name: format!("Named{}", T::name()),
        resource: resource.into(),
        ..plain::<T>()
    }
}

/// An entry of a map that is a list.
fn listed<T: ToSchema>(name: &str, content: &str) -> Described {
    let mut others = Vec::new();
    T::schemas(&mut others);
    let resource = ObjectBuilder::new()
        .property("name", String::schema())
        .required("name")
        .property(content, ArrayBuilder::new().items(T::schema()))
        .required(content)
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    Described {
        name: name.to_owned(),
        resource: resource.build().into(),
        others,
    }
}

fn object<T: PartialSchema>() -> Object {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object,
        _ => Object::with_type(Type::Object),
    }
}

/// Adds a collection's paths and shapes.
pub(super) fn describe(collection: &Collection, document: &mut OpenApi) {
    let described = described(collection);
    let components = document.components.get_or_insert_default();
    components.schemas.extend(described.others);
    components
        .schemas
        .insert(described.name.clone(), described.resource.into());
    for (name, schema) in [
        (Move::name(), Move::schema()),
        (EditedView::name(), EditedView::schema()),
    ] {
        components.schemas.insert(name.into_owned(), schema);
    }
    let mut needed = Vec::new();
    EditedView::schemas(&mut needed);
    components.schemas.extend(needed);

    let words = Words {
        collection,
        schema: Ref::from_schema_name(&described.name),
    };
    let base = format!("/api/v1/config/{}", collection.path);
    let mut item = PathItem::new(HttpMethod::Get, words.list());
    item.post = Some(words.create());
    document.paths.paths.insert(base.clone(), item);
    let mut item = PathItem::new(HttpMethod::Get, words.show());
    item.put = Some(words.replace());
    item.patch = Some(words.merge());
    item.delete = Some(words.remove());
    document
        .paths
        .paths
        .insert(format!("{base}/{{name}}"), item);
    if collection.is_ordered() {
        let item = PathItem::new(HttpMethod::Post, words.reorder());
        document.paths.paths.insert(format!("{base}/move"), item);
    }
}

struct Words<'a> {
    collection: &'a Collection,
    schema: Ref,
}

impl Words<'_> {
    fn list(&self) -> utoipa::openapi::path::Operation {
        let page = ObjectBuilder::new()
            .property("items", ArrayBuilder::new().items(self.schema.clone()))
            .required("items")
            .property("total", u64::schema())
            .required("total")
            .property("next", u64::schema())
            .build();
        self.operation("list", "All, in the order of the document.")
            .parameters(Some(ListQuery::into_params(|| None)))
            .response("200", json("A page", page))
            .build()
    }

    fn create(&self) -> utoipa::openapi::path::Operation {
        let operation = self
            .operation("create", "Add one to the candidate.")
            .parameter(if_match())
            .request_body(Some(body(self.schema.clone())))
            .response("201", json("As it is now", self.schema.clone()));
        if self.collection.is_ordered() {
            operation
                .parameters(Some(PlaceQuery::into_params(|| None)))
                .build()
        } else {
            operation.build()
        }
    }

    fn show(&self) -> utoipa::openapi::path::Operation {
        self.operation("show", "One, by its name.")
            .parameter(name())
            .response("200", json("As it is", self.schema.clone()))
            .build()
    }

    fn replace(&self) -> utoipa::openapi::path::Operation {
        self.operation("replace", "Make one what the body says.")
            .parameter(name())
            .parameter(if_match())
            .request_body(Some(body(self.schema.clone())))
            .response("200", json("As it is now", self.schema.clone()))
            .build()
    }

    fn merge(&self) -> utoipa::openapi::path::Operation {
        let patch = RequestBodyBuilder::new()
            .content(
                "application/merge-patch+json",
                ContentBuilder::new()
                    .schema(Some(Object::with_type(Type::Object)))
                    .build(),
            )
            .required(Some(Required::True))
            .build();
        self.operation(
            "change",
            "Change the fields that the body names (RFC 7396).",
        )
        .parameter(name())
        .parameter(if_match())
        .request_body(Some(patch))
        .response("200", json("As it is now", self.schema.clone()))
        .build()
    }

    fn remove(&self) -> utoipa::openapi::path::Operation {
        self.operation("delete", "Take one out of the candidate.")
            .parameter(name())
            .parameter(if_match())
            .response(
                "204",
                ResponseBuilder::new().description("It is gone").build(),
            )
            .build()
    }

    fn reorder(&self) -> utoipa::openapi::path::Operation {
        self.operation("move", "Move one or many to another place in the order.")
            .parameter(if_match())
            .request_body(Some(body(Ref::from_schema_name(Move::name()))))
            .response(
                "200",
                json("Moved", Ref::from_schema_name(EditedView::name())),
            )
            .build()
    }

    fn operation(&self, verb: &str, summary: &str) -> OperationBuilder {
        let path = self.collection.path.replace('/', "-");
        OperationBuilder::new()
            .operation_id(Some(format!("config-{path}-{verb}")))
            .tag("configuration")
            .summary(Some(summary))
    }
}

fn name() -> utoipa::openapi::path::Parameter {
    ParameterBuilder::new()
        .name("name")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(String::schema()))
        .build()
}

fn if_match() -> utoipa::openapi::path::Parameter {
    ParameterBuilder::new()
        .name("If-Match")
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "The candidate's entity tag: refused where it is another by now.",
        ))
        .schema(Some(String::schema()))
        .build()
}

fn body(schema: Ref) -> utoipa::openapi::request_body::RequestBody {
    RequestBodyBuilder::new()
        .content(
            "application/json",
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .required(Some(Required::True))
        .build()
}

fn json(description: &str, schema: impl Into<RefOr<Schema>>) -> utoipa::openapi::Response {
    ResponseBuilder::new()
        .description(description)
        .content(
            "application/json",
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .build()
}
