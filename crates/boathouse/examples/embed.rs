//! Boathouse as a library: load a crew, add a tool written in Rust, start a run, read its stream, cancel it.
use boathouse::core::crew::Effect;
use boathouse::core::run::event::{CancelReason, Event};
use boathouse::prelude::*;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct City {
    city: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let weather = function("weather", "Today's weather in a city", |City { city }: City, _| async move {
        Ok(format!("18 °C and dry in {city}"))
    });
    let builder = Engine::builder().tools(Tools::new().with(weather.effect(Effect::Read))?);
    let crew =
        crew_dir::load(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/embed").as_ref(), &builder.catalog())?;
    let engine = builder.crew(crew).start().await?;

    let run =
        StartRun { crew: "embed".into(), input: "Do I need a coat in Oslo?".into(), ..StartRun::default() };
    let (run, mut watch) = engine.start_watched(run, true).await?;
    while let Some(items) = watch.next().await? {
        for item in items {
            let Item::Event(stored) = item else { continue };
            println!("{}", String::from_utf8_lossy(&stored.json));
            if matches!(stored.recorded.event, Event::ToolReturned { .. }) {
                println!("{:?}", engine.cancel(&run, CancelReason::Requested, true).await?.outcome);
            }
        }
    }
    engine.shutdown(std::time::Duration::from_secs(5)).await;
    Ok(())
}
