//! Known Safe contracts: where the Safe team deployed them and what code stands there.
//!
//! Addresses and code hashes are those of `safe-global/safe-deployments`; a test compares every row with that package
//! and with the code of the contracts' own packages. A code hash is keccak256 of what `eth_getCode` gives. Nothing here
//! talks to a network.

use alloy::primitives::{Address, B256, address, b256};
use serde::{Deserialize, Serialize};

use super::version::SafeVersion;

/// What a contract is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contract {
    /// The code behind a Safe.
    Singleton,
    /// The code behind a Safe that emits an event for every transaction.
    SingletonL2,
    /// Makes Safes.
    ProxyFactory,
    /// Batches, with delegate calls inside: never used here.
    MultiSend,
    /// Batches of plain calls.
    MultiSendCallOnly,
    /// Answers ERC-1271 and token callbacks for a Safe.
    CompatibilityHandler,
    /// Answers ERC-1271 and token callbacks for a Safe, and methods that its owners add.
    ExtensibleHandler,
    /// Answers token callbacks.
    TokenHandler,
    /// Answers token callbacks for old Safes.
    DefaultHandler,
    /// Marks messages as signed.
    SignMessageLib,
    /// Simulates one inner call.
    SimulateTxAccessor,
    /// Moves a Safe to another singleton.
    Migration,
    /// Moves a Safe to the L2 singleton.
    ToL2Migration,
    /// Picks the L2 singleton when a Safe is made.
    ToL2Setup,
}

/// How a contract came to its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Build {
    /// By the factory whose transaction carries no chain id: the same address everywhere.
    Canonical,
    /// By a factory for chains that refuse such transactions (1.3.0 only).
    Eip155,
    /// Compiled for zkSync's EraVM. Such a Safe and EVM libraries cannot delegate to each other.
    EraVm,
}

/// A contract of the Safe team at its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployment {
    /// Version.
    pub version: SafeVersion,
    /// What it is for.
    pub contract: Contract,
    /// How it came there.
    pub build: Build,
    /// Address of the contract.
    pub address: Address,
    /// keccak256 of its code.
    pub code_hash: B256,
}

/// What is known about a contract that was found on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// A listed address with its code.
    Listed(&'static Deployment),
    /// Known code at an address that is not in the list.
    Elsewhere(&'static Deployment),
    /// A listed address with other code than the list says.
    Altered(&'static Deployment),
    /// Neither.
    Unknown,
}

/// Code of the proxies that the factories make, by the version of the factory. A Safe that moved to another singleton
/// keeps its old one.
pub const PROXY_CODE: [(SafeVersion, B256); 3] = [
    (
        SafeVersion::V1_3_0,
        b256!("b89c1b3bdf2cf8827818646bce9a8f6e372885f8c55e5c07acbd307cb133b000"),
    ),
    (
        SafeVersion::V1_4_1,
        b256!("d7d408ebcd99b2b70be43e20253d6d92a8ea8fab29bd3be7f55b10032331fb4c"),
    ),
    (
        SafeVersion::V1_5_0,
        b256!("4e381985ca68b3e5d27b4425fa581c19cf33146d3f887a3cfca96f55528ea46f"),
    ),
];

impl Contract {
    /// Whether it is the code behind a Safe.
    pub const fn is_singleton(self) -> bool {
        matches!(self, Self::Singleton | Self::SingletonL2)
    }
    /// Whether it is made to be a Safe's fallback handler.
    pub const fn is_handler(self) -> bool {
        matches!(
            self,
            Self::CompatibilityHandler | Self::ExtensibleHandler | Self::TokenHandler | Self::DefaultHandler
        )
    }
}

/// The deployment at `address`, whatever code a chain has there.
pub fn at(address: Address) -> Option<&'static Deployment> {
    ALL.iter().find(|known| known.address == address)
}

/// What stands at `address`, where `code_hash` was read.
pub fn identify(address: Address, code_hash: B256) -> Identity {
    match at(address) {
        Some(known) if known.code_hash == code_hash => Identity::Listed(known),
        Some(known) => Identity::Altered(known),
        None => ALL
            .iter()
            .find(|known| known.code_hash == code_hash)
            .map_or(Identity::Unknown, Identity::Elsewhere),
    }
}

/// Whether `code_hash` is the code of a Safe's proxy.
pub fn is_proxy_code(code_hash: B256) -> bool {
    PROXY_CODE.iter().any(|(_, known)| *known == code_hash)
}

/// The deployment of one contract.
pub fn find(version: SafeVersion, contract: Contract, build: Build) -> Option<&'static Deployment> {
    ALL.iter()
        .find(|known| (known.version, known.contract, known.build) == (version, contract, build))
}

/// Whether a Safe may delegate to `address` for a batch: a listed EVM MultiSendCallOnly of any version. The code there
/// has to be compared with [`Deployment::code_hash`] as well, on the Safe's own chain.
pub fn batcher(address: Address) -> Option<&'static Deployment> {
    at(address).filter(|known| known.contract == Contract::MultiSendCallOnly && known.build != Build::EraVm)
}

/// The libraries that batch for a Safe of this version, best first: those that were deployed the same way as its
/// singleton. Empty for an EraVM Safe. Which of them the chain has is for the caller to read.
pub fn batchers(version: SafeVersion, singleton: Build) -> Vec<&'static Deployment> {
    let all = match singleton {
        Build::EraVm => return Vec::new(),
        Build::Canonical => [Build::Canonical, Build::Eip155],
        Build::Eip155 => [Build::Eip155, Build::Canonical],
    };
    // 1.4.0 had no library of its own that the list knows; that of 1.4.1 does the same.
    let version = if version == SafeVersion::V1_4_0 {
        SafeVersion::V1_4_1
    } else {
        version
    };
    all.into_iter()
        .filter_map(|build| find(version, Contract::MultiSendCallOnly, build))
        .collect()
}

macro_rules! deployments {
    ($(($major:literal $minor:literal $patch:literal) $contract:ident $build:ident $address:literal $code:literal;)+) => {
        /// Every deployment that is known, oldest version first.
        pub const ALL: &[Deployment] = &[$(Deployment {
            version: SafeVersion::new($major, $minor, $patch),
            contract: Contract::$contract,
            build: Build::$build,
            address: address!($address),
            code_hash: b256!($code),
        }),+];
    };
}

deployments! {
    (1 0 0) Singleton Canonical
        "b6029EA3B2c51D09a50B53CA8012FeEB05bDa35A" "e1f1593df76e69abc2d692792c80f329457551d5e83dde597546a1d58764da80";
    (1 0 0) ProxyFactory Canonical
        "12302fE9c02ff50939BaAaaf415fc226C078613C" "84a375ad96ab395850d46cd601ed6354d3cf3fb67cec0caf18f34af5c9d1a7f0";
    (1 1 1) Singleton Canonical
        "34CfAC646f301356fAa8B21e94227e3583Fe3F5F" "56b8be58b5ad629a621593a2e5e5e8e9a28408dc06e95597497b303902772e45";
    (1 1 1) ProxyFactory Canonical
        "76E2cFc1F5Fa8F6a5b3fC4c8F4788F0116861F9B" "0f0bb9c13be3b595d6f0fde841d5247a96f7e315bd8b97e1363553bee9a7d995";
    (1 1 1) MultiSend Canonical
        "8D29bE29923b68abfDD21e541b9374737B49cdAD" "e4e9b4d4c1e3ff06cd51afe0b51eb1b22c0bab51eab38d428ee74540a5ff603e";
    (1 1 1) DefaultHandler Canonical
        "d5D82B6aDDc9027B22dCA772Aa68D5d74cdBdF44" "919a9f5dd111a01f7a8e4b1f5c6a972bb2d1441c67bdec71de6a09d0be92f5b9";
    (1 2 0) Singleton Canonical
        "6851D6fDFAfD08c0295C392436245E5bc78B0185" "2ae2d1231f0d754a7fa4f5e5d0e5554085e1b500d8e09f95aaaaa3f49c0db922";
    (1 3 0) Singleton Canonical
        "d9Db270c1B5E3Bd161E8c8503c55cEABeE709552" "bba688fbdb21ad2bb58bc320638b43d94e7d100f6f3ebaab0a4e4de6304b1c2e";
    (1 3 0) Singleton Eip155
        "69f4D1788e39c87893C980c06EdF4b7f686e2938" "bba688fbdb21ad2bb58bc320638b43d94e7d100f6f3ebaab0a4e4de6304b1c2e";
    (1 3 0) Singleton EraVm
        "B00ce5CCcdEf57e539ddcEd01DF43a13855d9910" "551b7fdfd2dbcec4f785059e1ef6e0b40ca2e44d792158c4e825bc0b092f15e9";
    (1 3 0) SingletonL2 Canonical
        "3E5c63644E683549055b9Be8653de26E0B4CD36E" "21842597390c4c6e3c1239e434a682b054bd9548eee5e9b1d6a4482731023c0f";
    (1 3 0) SingletonL2 Eip155
        "fb1bffC9d739B8D520DaF37dF666da4C687191EA" "21842597390c4c6e3c1239e434a682b054bd9548eee5e9b1d6a4482731023c0f";
    (1 3 0) SingletonL2 EraVm
        "1727c2c531cf966f902E5927b98490fDFb3b2b70" "e2ca068330339d608367d83a0b25545efe39e619098597699ab8ff828cb1ddd8";
    (1 3 0) ProxyFactory Canonical
        "a6B71E26C5e0845f74c812102Ca7114b6a896AB2" "337d7f54be11b6ed55fef7b667ea5488db53db8320a05d1146aa4bd169a39a9b";
    (1 3 0) ProxyFactory Eip155
        "C22834581EbC8527d974F8a1c97E1bEA4EF910BC" "337d7f54be11b6ed55fef7b667ea5488db53db8320a05d1146aa4bd169a39a9b";
    (1 3 0) ProxyFactory EraVm
        "DAec33641865E4651fB43181C6DB6f7232Ee91c2" "55daa5d390d283edbc5fa835bd53befce45179c758feaac8c149a95850d0a6b6";
    (1 3 0) MultiSend Canonical
        "A238CBeb142c10Ef7Ad8442C6D1f9E89e07e7761" "0208282bd262360d0320862c5ac70f375f5ed3b9d89a83a615b4d398415bdc83";
    (1 3 0) MultiSend Eip155
        "998739BFdAAdde7C933B942a68053933098f9EDa" "81db0e4afdf5178583537b58c5ad403bd47a4ac7f9bde2442ef3e341d433126a";
    (1 3 0) MultiSend EraVm
        "0dFcccB95225ffB03c6FBB2559B530C2B7C8A912" "d9aa004a59b3738a108e747e578ae409b84e9f3ffd689d81b10f4d96000c5f5c";
    (1 3 0) MultiSendCallOnly Canonical
        "40A2aCCbd92BCA938b02010E17A5b8929b49130D" "a9865ac2d9c7a1591619b188c4d88167b50df6cc0c5327fcbd1c8c75f7c066ad";
    (1 3 0) MultiSendCallOnly Eip155
        "A1dabEF33b3B82c7814B6D82A79e50F4AC44102B" "a9865ac2d9c7a1591619b188c4d88167b50df6cc0c5327fcbd1c8c75f7c066ad";
    (1 3 0) MultiSendCallOnly EraVm
        "f220D3b4DFb23C4ade8C88E526C1353AbAcbC38F" "064ddbf252714bcd4cb79f679e8c12df96d998ce07bbb13b3118c1dbf4a31942";
    (1 3 0) CompatibilityHandler Canonical
        "f48f2B2d2a534e402487b3ee7C18c33Aec0Fe5e4" "03e69f7ce809e81687c69b19a7d7cca45b6d551ffdec73d9bb87178476de1abf";
    (1 3 0) CompatibilityHandler Eip155
        "017062a1dE2FE6b99BE3d9d37841FeD19F573804" "03e69f7ce809e81687c69b19a7d7cca45b6d551ffdec73d9bb87178476de1abf";
    (1 3 0) CompatibilityHandler EraVm
        "2f870a80647BbC554F3a0EBD093f11B4d2a7492A" "017e9a83d5513f503fb85274f4d1ad1811040d7caa31772750ffb08638c28fbb";
    (1 3 0) SignMessageLib Canonical
        "A65387F16B013cf2Af4605Ad8aA5ec25a2cbA3a2" "3ac65dea3cc9dd0d7b7b800f834e3d73415b4e944bb94555c3e4a08fb137e918";
    (1 3 0) SignMessageLib Eip155
        "98FFBBF51bb33A056B08ddf711f289936AafF717" "3ac65dea3cc9dd0d7b7b800f834e3d73415b4e944bb94555c3e4a08fb137e918";
    (1 3 0) SignMessageLib EraVm
        "357147caf9C0cCa67DfA0CF5369318d8193c8407" "9da86f7e32ef976bd442a8eeb353e16d683b53e30e926ae7adce7c609f75b1fc";
    (1 3 0) SimulateTxAccessor Canonical
        "59AD6735bCd8152B84860Cb256dD9e96b85F69Da" "b3fb9763869f2c09a2ac5a425d2dd6060bf7ef46b3899049d71a711e71e00f04";
    (1 3 0) SimulateTxAccessor Eip155
        "727a77a074D1E6c4530e814F89E618a3298FC044" "66712e1d9161706f826d8d74a3cc03db0289b2530a1202f24d52986952b69a02";
    (1 3 0) SimulateTxAccessor EraVm
        "4191E2e12E8BC5002424CE0c51f9947b02675a44" "18c486b76cb76981360e96ca4f90fc745fde6a8575b8c2b35ac98eab3856fd72";
    (1 4 1) Singleton Canonical
        "41675C099F32341bf84BFc5382aF534df5C7461a" "1fe2df852ba3299d6534ef416eefa406e56ced995bca886ab7a553e6d0c5e1c4";
    (1 4 1) Singleton EraVm
        "C35F063962328aC65cED5D4c3fC5dEf8dec68dFa" "fa4d4fc0fa9f1a061571a3f3f66502464edf1a519ab1ab93dc232addf4fbe30f";
    (1 4 1) SingletonL2 Canonical
        "29fcB43b46531BcA003ddC8FCB67FFE91900C762" "b1f926978a0f44a2c0ec8fe822418ae969bd8c3f18d61e5103100339894f81ff";
    (1 4 1) SingletonL2 EraVm
        "610fcA2e0279Fa1F8C00c8c2F71dF522AD469380" "520462ebe1156cd2d37b1d470c57f23e12fe0c4cda4c62502d96e03fa0cb44da";
    (1 4 1) ProxyFactory Canonical
        "4e1DCf7AD4e460CfD30791CCC4F9c8a4f820ec67" "50c3cdc4074750a7a974204a716c999edd37482f907608d960b2b025ee0b3317";
    (1 4 1) ProxyFactory EraVm
        "c329D02fd8CB2fc13aa919005aF46320794a8629" "a4915e4a50124b5dce3c9adc34cce8108fc5dbda97d443534699621d6e0013ba";
    (1 4 1) MultiSend Canonical
        "38869bf66a61cF6bDB996A6aE40D5853Fd43B526" "0e4f7fc66550a322d1e7688e181b75e217e662a4f3f4d6a29b22bc61217c4b77";
    (1 4 1) MultiSend EraVm
        "309D0B190FeCCa8e1D5D8309a16F7e3CB133E885" "cb372f27aba6983e7b54997ebb4a75c35876b2a279238ab914c5415de1e95137";
    (1 4 1) MultiSendCallOnly Canonical
        "9641d764fc13c8B624c04430C7356C1C7C8102e2" "ecd5bd14a08c5d2122379900b2f272bdf107a7e92423c10dd5fe3254386c9939";
    (1 4 1) MultiSendCallOnly EraVm
        "0408EF011960d02349d50286D20531229BCef773" "44c70b30fed5c3a07358a52c2fb028f651031010ef99e4d8c3b45c208e88a264";
    (1 4 1) CompatibilityHandler Canonical
        "fd0732Dc9E303f09fCEf3a7388Ad10A83459Ec99" "7c6007a5d711cea8dfd5d91f5940ec29c7f200fe511eb1fc1397b367af3c42f9";
    (1 4 1) CompatibilityHandler EraVm
        "9301E98DD367135f21bdF66f342A249c9D5F9069" "331ff834e83e6e1596325f04eb7d16614155e324010af21f14e9c945e7669d5f";
    (1 4 1) SignMessageLib Canonical
        "d53cd0aB83D845Ac265BE939c57F53AD838012c9" "525c754a46b79e05543a59bb61e8de3c9eee0d955a59352409cbe67ea1077528";
    (1 4 1) SignMessageLib EraVm
        "Aca1ec0a1A575CDCCF1DC3d5d296202Eb6061888" "3e762bdca5f7d61c70e7ad1d1cb7b999481954543e7c29540e757d3e7004aa6b";
    (1 4 1) SimulateTxAccessor Canonical
        "3d4BA2E0884aa488718476ca2FB8Efc291A46199" "91f82615581fc73b190b83d72e883608b25e392f72322035df1b13d51766cf8d";
    (1 4 1) SimulateTxAccessor EraVm
        "dd35026932273768A3e31F4efF7313B5B7A7199d" "e772f957acb3987a0b2f1af9e0b515d2a213ec79cbe96a5187e5c5ba6709361e";
    (1 4 1) Migration Canonical
        "526643F69b81B008F46d95CD5ced5eC0edFFDaC6" "c00d7921460cd5a05393e7772e634bd7d212f356356aa3a77f0120a9b8e25e99";
    (1 4 1) Migration EraVm
        "817756C6c555A94BCEE39eB5a102AbC1678b09A7" "6815c12fbdeb438fb0fb1e1484ac190ca2fc98065b93f95db846596c3c0eee70";
    (1 4 1) ToL2Migration Canonical
        "fF83F6335d8930cBad1c0D439A841f01888D9f69" "a83e7be2fa20c96dc9575e3937239d552f3831ea437d7c96397eec8736f0cba0";
    (1 4 1) ToL2Migration EraVm
        "a26620d1f8f1a2433F0D25027F141aaCAFB3E590" "2a68d940fb2460312e98bc36be0efaeff392237039e7282bc12155f049287c70";
    (1 4 1) ToL2Setup Canonical
        "BD89A1CE4DDe368FFAB0eC35506eEcE0b1fFdc54" "2f25df28caf984366ee584e13241707e85dcd5a6ea0c14267928dafc1fd6274b";
    (1 4 1) ToL2Setup EraVm
        "199A9df0224031c20Cc27083A4164c9c8F1Bcb39" "0bbcc5092b50efd183bb46cfe3f61abca3226cea4f612f23f22bb222cd7b3d45";
    (1 5 0) Singleton Canonical
        "Ff51A5898e281Db6DfC7855790607438dF2ca44b" "dda019cbd7c867a533a2a86e5c53434fdc50b13122b5a5ddb4a8df61b31c20f2";
    (1 5 0) SingletonL2 Canonical
        "Edd160fEBBD92E350D4D398fb636302fccd67C7e" "180193227186ccb85316c94db1f0d156ed932b14712cfaac78901899178572dc";
    (1 5 0) ProxyFactory Canonical
        "14F2982D601c9458F93bd70B218933A6f8165e7b" "967dae4cda22b0c9ef7f31b010bdc1ceb0af9904b0c3dc060b5302e4c18a4529";
    (1 5 0) MultiSend Canonical
        "218543288004CD07832472D464648173c77D7eB7" "ca1147a12963172a93910c5cb2bfa5ad0e941c7f03fc7eb017dd06a8ea4e5604";
    (1 5 0) MultiSendCallOnly Canonical
        "A83c336B20401Af773B6219BA5027174338D1836" "cdbdcec38d2f1c7d961b0029ff8416b7e86e9974d6f0e9c9580c7d17fcfb6663";
    (1 5 0) CompatibilityHandler Canonical
        "3EfCBb83A4A7AfcB4F68D501E2c2203a38be77f4" "3c6a85bcf7b563daa624b884b4e9a1b9fa5371edde7be945d998071a48f28bbc";
    (1 5 0) ExtensibleHandler Canonical
        "85a8ca358D388530ad0fB95D0cb89Dd44Fc242c3" "ba5bafdfba82e226b6dc8ae29bedf5026bd854ab4bee00128ca322717a5f2acf";
    (1 5 0) TokenHandler Canonical
        "54e86d004d71a8D2112ec75FaCE57D730b0433F3" "cbc723172700efa52cc33ee26c7fc7e284edc8097f9dc307857fe525fec98cd8";
    (1 5 0) SignMessageLib Canonical
        "4FfeF8222648872B3dE295Ba1e49110E61f5b5aa" "d61840855da008da59a00fc03fb71455b4f70bdca1f56f9504f072ed8d90c50e";
    (1 5 0) SimulateTxAccessor Canonical
        "07EfA797c55B5DdE3698d876b277aBb6B893654C" "706db4bb6151f75a5b3845724174e201c59046dfbe65b4e5909ad4b88f8f752d";
    (1 5 0) Migration Canonical
        "6439e7ABD8Bb915A5263094784C5CF561c4172AC" "52d7472fa02c3a574544f9b5a4ed4c7777e4e3315217e368926b51e1cc6014ea";
    (1 5 0) ToL2Setup Canonical
        "900C7589200010D6C6eCaaE5B06EBe653bc2D82a" "f6034d841bcbff8912aa55526b0f1609212536aaf60bb16f5e8a269a4ab38f18";

}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_address_is_listed_once() {
        let addresses: BTreeSet<_> = ALL.iter().map(|known| known.address).collect();
        assert_eq!(addresses.len(), ALL.len());
    }

    #[test]
    fn one_code_is_one_contract_of_one_version() {
        for known in ALL {
            for other in ALL.iter().filter(|other| other.code_hash == known.code_hash) {
                assert_eq!((known.version, known.contract), (other.version, other.contract));
            }
        }
    }

    #[test]
    fn m19_pitfall_39_only_the_call_only_library_batches() {
        let batchers: BTreeSet<_> = ALL
            .iter()
            .filter(|known| batcher(known.address).is_some())
            .map(|known| known.address)
            .collect();
        assert_eq!(
            batchers,
            BTreeSet::from([
                address!("40A2aCCbd92BCA938b02010E17A5b8929b49130D"),
                address!("A1dabEF33b3B82c7814B6D82A79e50F4AC44102B"),
                address!("9641d764fc13c8B624c04430C7356C1C7C8102e2"),
                address!("A83c336B20401Af773B6219BA5027174338D1836"),
            ])
        );
    }

    #[test]
    fn pitfall_30_an_eravm_safe_has_no_library_to_batch_with() {
        assert!(batchers(SafeVersion::V1_3_0, Build::EraVm).is_empty());
    }

    #[test]
    fn a_library_deployed_like_the_singleton_comes_first() {
        for (build, other) in [(Build::Canonical, Build::Eip155), (Build::Eip155, Build::Canonical)] {
            let found: Vec<_> = batchers(SafeVersion::V1_3_0, build)
                .into_iter()
                .map(|known| known.build)
                .collect();
            assert_eq!(found, [build, other]);
        }
        for version in [SafeVersion::V1_4_0, SafeVersion::V1_4_1, SafeVersion::V1_5_0] {
            assert_eq!(batchers(version, Build::Canonical).len(), 1);
        }
    }

    #[test]
    fn code_that_differs_from_the_list_is_told_from_code_that_moved() {
        let known = find(SafeVersion::V1_4_1, Contract::SingletonL2, Build::Canonical).unwrap();
        let elsewhere = Address::repeat_byte(7);
        assert_eq!(identify(known.address, known.code_hash), Identity::Listed(known));
        assert_eq!(identify(elsewhere, known.code_hash), Identity::Elsewhere(known));
        assert_eq!(identify(known.address, B256::repeat_byte(7)), Identity::Altered(known));
        assert_eq!(identify(elsewhere, B256::repeat_byte(7)), Identity::Unknown);
    }
}
