//! Where things happen: countries with their money, cities, and trades.

/// A country, and what a payment there looks like.
pub(super) struct Country {
    /// ISO 3166-1 alpha-2
    pub code: &'static str,
    /// ISO 4217
    pub currency: &'static str,
    /// minor units of its currency that a euro cent is worth, roughly
    pub minor_per_cent: f64,
    /// BCP 47; everyone writes English to this bank
    pub language: &'static str,
    /// hours ahead of UTC in winter, which is all year here
    pub utc_offset: i64,
    pub legal_form: &'static str,
}

/// A city: name, country (an index), degrees north and east, and how many people, relatively.
pub(super) struct City {
    pub name: &'static str,
    pub country: u8,
    pub lat: f64,
    pub lon: f64,
    pub weight: f64,
}

const fn country(
    code: &'static str,
    currency: &'static str,
    minor_per_cent: f64,
    language: &'static str,
    utc_offset: i64,
    legal_form: &'static str,
) -> Country {
    Country { code, currency, minor_per_cent, language, utc_offset, legal_form }
}

const fn city(name: &'static str, country: u8, lat: f64, lon: f64, weight: f64) -> City {
    City { name, country, lat, lon, weight }
}

pub(super) const COUNTRIES: [Country; 10] = [
    country("US", "USD", 1.1, "en-US", -5, "Inc."),
    country("GB", "GBP", 0.85, "en-GB", 0, "Ltd"),
    country("DE", "EUR", 1.0, "en", 1, "GmbH"),
    country("FR", "EUR", 1.0, "en", 1, "SARL"),
    country("ES", "EUR", 1.0, "en", 1, "S.L."),
    country("NL", "EUR", 1.0, "en", 1, "B.V."),
    country("IN", "INR", 95.0, "en-IN", 5, "Pvt Ltd"),
    country("BR", "BRL", 6.0, "en", -3, "Ltda"),
    country("SE", "SEK", 11.0, "en", 1, "AB"),
    // the yen has no smaller unit
    country("JP", "JPY", 1.7, "en", 9, "K.K."),
];

pub(super) const CITIES: [City; 26] = [
    city("New York", 0, 40.71, -74.0, 8.0),
    city("Chicago", 0, 41.88, -87.63, 5.0),
    city("Atlanta", 0, 33.75, -84.39, 4.0),
    city("Boston", 0, 42.36, -71.06, 3.0),
    city("London", 1, 51.51, -0.13, 8.0),
    city("Manchester", 1, 53.48, -2.24, 4.0),
    city("Edinburgh", 1, 55.95, -3.19, 2.0),
    city("Berlin", 2, 52.52, 13.4, 5.0),
    city("Hamburg", 2, 53.55, 9.99, 4.0),
    city("Munich", 2, 48.14, 11.58, 4.0),
    city("Paris", 3, 48.86, 2.35, 5.0),
    city("Lyon", 3, 45.76, 4.84, 3.0),
    city("Toulouse", 3, 43.6, 1.44, 2.0),
    city("Madrid", 4, 40.42, -3.7, 3.0),
    city("Valencia", 4, 39.47, -0.38, 2.0),
    city("Amsterdam", 5, 52.37, 4.9, 3.0),
    city("Utrecht", 5, 52.09, 5.12, 2.0),
    city("Pune", 6, 18.52, 73.86, 3.0),
    city("Bengaluru", 6, 12.97, 77.59, 4.0),
    city("Chennai", 6, 13.08, 80.27, 2.0),
    city("Recife", 7, -8.05, -34.9, 2.0),
    city("Curitiba", 7, -25.43, -49.27, 2.0),
    city("Stockholm", 8, 59.33, 18.07, 3.0),
    city("Malmö", 8, 55.6, 13.0, 2.0),
    city("Osaka", 9, 34.69, 135.5, 3.0),
    city("Sapporo", 9, 43.06, 141.35, 2.0),
];

/// The country of a city, both by index.
pub(super) fn country_of(city: u8) -> &'static Country {
    &COUNTRIES[usize::from(CITIES[usize::from(city)].country)]
}

/// A trade: its merchant category code and its amounts beside a customer's usual ones.
pub(super) struct Trade {
    pub mcc: &'static str,
    pub factor: f64,
    pub weight: f64,
}

const fn trade(mcc: &'static str, factor: f64, weight: f64) -> Trade {
    Trade { mcc, factor, weight }
}

/// What the trades at a counter charge. Cash machines come last, see [`CASH`].
pub(super) const COUNTER_TRADES: [Trade; 9] = [
    trade("5411", 1.0, 30.0),
    trade("5814", 0.4, 18.0),
    trade("5812", 1.3, 12.0),
    trade("5541", 1.8, 9.0),
    trade("5912", 0.7, 8.0),
    trade("5651", 2.2, 7.0),
    trade("5732", 5.0, 3.0),
    trade("7230", 1.5, 4.0),
    trade("6011", 3.0, 9.0),
];

/// Index of the cash machine among [`COUNTER_TRADES`].
pub(super) const CASH: u8 = 8;

/// What shops on the net charge.
pub(super) const SHOP_TRADES: [Trade; 8] = [
    trade("5942", 0.8, 15.0),
    trade("5311", 1.6, 22.0),
    trade("5691", 2.0, 15.0),
    trade("5815", 0.4, 15.0),
    trade("4899", 0.5, 10.0),
    trade("5734", 3.5, 9.0),
    trade("4722", 7.0, 5.0),
    trade("5999", 1.2, 9.0),
];

/// Share of a day's payments in each hour of local time, relatively.
pub(super) const HOURS: [f64; 24] = [
    0.08, 0.05, 0.04, 0.04, 0.05, 0.1, 0.25, 0.5, 0.7, 0.75, 0.8, 0.9, 1.0, 0.95, 0.8, 0.8, 0.9,
    1.0, 0.98, 0.85, 0.7, 0.5, 0.3, 0.15,
];
