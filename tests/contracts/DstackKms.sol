// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {AppBootInfo, IAppAuth} from "./DstackTypes.sol";

interface IAppInitFive {
    function initialize(address, bool, bool, bytes32, bytes32) external;
}

interface IAppInitSix {
    function initialize(address, bool, bool, bool, bytes32, bytes32) external;
}

/// The KMS contract: which apps, OS images and KMS builds may have keys.
contract DstackKms is OwnableUpgradeable, UUPSUpgradeable, IERC165, IAppAuth {
    struct KmsInfo {
        bytes k256Pubkey;
        bytes caPubkey;
        bytes quote;
        bytes eventlog;
    }

    KmsInfo public kmsInfo;
    string public gatewayAppId;
    mapping(address => bool) public registeredApps;
    mapping(bytes32 => bool) public kmsAllowedAggregatedMrs;
    mapping(bytes32 => bool) public kmsAllowedDeviceIds;
    mapping(bytes32 => bool) public allowedOsImages;
    address public appImplementation;

    event AppRegistered(address appId);
    event AppDeployedViaFactory(address indexed appId, address indexed deployer);
    event KmsInfoSet(bytes k256Pubkey);
    event GatewayAppIdSet(string gatewayAppId);
    event OsImageHashAdded(bytes32 osImageHash);
    event OsImageHashRemoved(bytes32 osImageHash);
    event KmsAggregatedMrAdded(bytes32 mrAggregated);
    event KmsDeviceAdded(bytes32 deviceId);
    event AppImplementationSet(address implementation);

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    function initialize(address owner_, address appImplementation_) external initializer {
        require(owner_ != address(0), "invalid owner address");
        __Ownable_init(owner_);
        appImplementation = appImplementation_;
    }

    function setKmsInfo(KmsInfo calldata info) external onlyOwner {
        kmsInfo = info;
        emit KmsInfoSet(info.k256Pubkey);
    }

    function setGatewayAppId(string calldata appId) external onlyOwner {
        gatewayAppId = appId;
        emit GatewayAppIdSet(appId);
    }

    function setAppImplementation(address implementation) external onlyOwner {
        appImplementation = implementation;
        emit AppImplementationSet(implementation);
    }

    function addOsImageHash(bytes32 osImageHash) external onlyOwner {
        allowedOsImages[osImageHash] = true;
        emit OsImageHashAdded(osImageHash);
    }

    function removeOsImageHash(bytes32 osImageHash) external onlyOwner {
        allowedOsImages[osImageHash] = false;
        emit OsImageHashRemoved(osImageHash);
    }

    function addKmsAggregatedMr(bytes32 mrAggregated) external onlyOwner {
        kmsAllowedAggregatedMrs[mrAggregated] = true;
        emit KmsAggregatedMrAdded(mrAggregated);
    }

    function addKmsDevice(bytes32 deviceId) external onlyOwner {
        kmsAllowedDeviceIds[deviceId] = true;
        emit KmsDeviceAdded(deviceId);
    }

    /// Anybody may register any address, as on the live contract.
    function registerApp(address appId) public {
        require(appId != address(0), "Invalid app ID");
        registeredApps[appId] = true;
        emit AppRegistered(appId);
    }

    function deployAndRegisterApp(
        address initialOwner,
        bool noUpgrades,
        bool anyDevice,
        bytes32 deviceId,
        bytes32 composeHash
    ) external returns (address) {
        return _deploy(
            abi.encodeCall(IAppInitFive.initialize, (initialOwner, noUpgrades, anyDevice, deviceId, composeHash))
        );
    }

    function deployAndRegisterApp(
        address initialOwner,
        bool noUpgrades,
        bool freshTcb,
        bool anyDevice,
        bytes32 deviceId,
        bytes32 composeHash
    ) external returns (address) {
        return _deploy(
            abi.encodeCall(
                IAppInitSix.initialize, (initialOwner, noUpgrades, freshTcb, anyDevice, deviceId, composeHash)
            )
        );
    }

    function isKmsAllowed(AppBootInfo calldata boot) external view returns (bool isAllowed, string memory reason) {
        if (!allowedOsImages[boot.osImageHash]) return (false, "OS image is not allowed");
        if (!kmsAllowedAggregatedMrs[boot.mrAggregated]) return (false, "Aggregated MR not allowed");
        if (!kmsAllowedDeviceIds[boot.deviceId]) return (false, "KMS is not allowed to boot on this device");
        return (true, "");
    }

    function isAppAllowed(AppBootInfo calldata boot) external view returns (bool isAllowed, string memory reason) {
        if (!registeredApps[boot.appId]) return (false, "App not registered");
        if (!allowedOsImages[boot.osImageHash]) return (false, "OS image is not allowed");
        if (boot.appId.code.length == 0) return (false, "App not deployed or invalid address");
        return IAppAuth(boot.appId).isAppAllowed(boot);
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == type(IERC165).interfaceId || id == type(IAppAuth).interfaceId;
    }

    function _deploy(bytes memory initialization) private returns (address appId) {
        require(appImplementation != address(0), "DstackApp implementation not set");
        appId = address(new ERC1967Proxy(appImplementation, initialization));
        registerApp(appId);
        emit AppDeployedViaFactory(appId, msg.sender);
    }

    function _authorizeUpgrade(address) internal override onlyOwner {}
}
