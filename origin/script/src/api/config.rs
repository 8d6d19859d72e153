//! application.config.

use rquickjs::{Ctx, Object, Result};

use crate::library::application_xml::ConfigValue;

/// The members of `Application.xml`'s config as an object; the last one of a name counts.
pub(crate) fn config<'js>(
    ctx: &Ctx<'js>,
    members: &[(String, ConfigValue)],
) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    for (name, value) in members {
        match value {
            ConfigValue::Text(text) => object.set(name.as_str(), text.as_str())?,
            ConfigValue::Members(members) => object.set(name.as_str(), config(ctx, members)?)?,
        }
    }
    Ok(object)
}
