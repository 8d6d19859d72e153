//! The card of a session in a parcel.

use tributary_gate::MAX_FIELD;
use tributary_protocol::parcel::{Carried, ParcelError, ParcelReader, ParcelWriter};

use super::Card;

const APP: u16 = 1;
const FLASH_VER: u16 = 2;
const SWF_URL: u16 = 3;
const TC_URL: u16 = 4;
const PAGE_URL: u16 = 5;
const ADDRESS: u16 = 6;
const TRANSPORT: u16 = 7;
const SESSION: u16 = 8;
const EPOCH: u16 = 9;
const USER: u16 = 10;

/// The bytes of an address, or of the name of a transport.
const MAX_ADDRESS: usize = 64;

/// The bytes of a text of a connect command.
const MAX_TEXT: usize = 256 * 1024;

impl Carried for Card {
    const NAME: &'static str = "the card of a session";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.bytes(APP, self.app.as_bytes());
        parcel.bytes(FLASH_VER, self.flash_ver.as_bytes());
        parcel.bytes(SWF_URL, self.swf_url.as_bytes());
        parcel.bytes(TC_URL, self.tc_url.as_bytes());
        parcel.bytes(PAGE_URL, self.page_url.as_bytes());
        if let Some(address) = self.address {
            parcel.bytes(ADDRESS, address.to_string().as_bytes());
        }
        parcel.bytes(TRANSPORT, self.transport.name().as_bytes());
        parcel.number(SESSION, self.session);
        parcel.number(EPOCH, self.epoch);
        if let Some(user) = &self.user {
            parcel.bytes(USER, user.as_bytes());
        }
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let mut text = |tag| parcel.text(tag, MAX_TEXT).map(str::to_owned);
        let (app, flash_ver) = (text(APP)?, text(FLASH_VER)?);
        let (swf_url, tc_url, page_url) = (text(SWF_URL)?, text(TC_URL)?, text(PAGE_URL)?);
        let address = match parcel.text_if(ADDRESS, MAX_ADDRESS)? {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| parcel.illegal(ADDRESS))?),
        };
        let transport = parcel.text(TRANSPORT, MAX_ADDRESS)?.parse();
        Ok(Self {
            app,
            flash_ver,
            swf_url,
            tc_url,
            page_url,
            address,
            transport: transport.map_err(|_| parcel.illegal(TRANSPORT))?,
            session: parcel.number(SESSION)?,
            epoch: parcel.number(EPOCH)?,
            user: parcel.text_if(USER, MAX_FIELD)?.map(str::to_owned),
        })
    }
}
