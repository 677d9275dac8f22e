// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {AppBootInfo} from "./DstackTypes.sol";

interface IAppInitOfJuly {
    function initialize(address, bool, bool, bytes32, bytes32) external;
}

interface IAppInitOfMay {
    function initialize(address, address, bool, bool, bytes32, bytes32) external;
}

/// A KMS of July 2025: the factory of five values, an event of two addresses, and the code of new apps by the older name.
contract DstackKmsOfJuly2025 {
    address public appAuthImplementation;
    mapping(address => bool) public registeredApps;

    event AppDeployedViaFactory(address indexed appId, address indexed deployer);

    constructor(address implementation) {
        appAuthImplementation = implementation;
    }

    function deployAndRegisterApp(
        address initialOwner,
        bool noUpgrades,
        bool anyDevice,
        bytes32 deviceId,
        bytes32 composeHash
    ) external returns (address appId) {
        bytes memory begin =
            abi.encodeCall(IAppInitOfJuly.initialize, (initialOwner, noUpgrades, anyDevice, deviceId, composeHash));
        appId = address(new ERC1967Proxy(appAuthImplementation, begin));
        registeredApps[appId] = true;
        emit AppDeployedViaFactory(appId, msg.sender);
    }
}

/// A KMS of May 2025: apps by an id that it computes, which is not the address of the app's contract.
contract DstackKmsOfMay2025 {
    struct AppInfo {
        bool isRegistered;
        address controller;
    }

    address public appAuthImplementation;
    mapping(address => AppInfo) public apps;
    uint256 private salt;

    event AppDeployedViaFactory(address indexed appId, address indexed proxyAddress, address indexed deployer);

    constructor(address implementation) {
        appAuthImplementation = implementation;
    }

    function deployAndRegisterApp(
        address initialOwner,
        bool noUpgrades,
        bool anyDevice,
        bytes32 deviceId,
        bytes32 composeHash
    ) external returns (address appId, address proxy) {
        appId = address(uint160(uint256(keccak256(abi.encode(msg.sender, salt++)))));
        bytes memory begin = abi.encodeCall(
            IAppInitOfMay.initialize, (initialOwner, appId, noUpgrades, anyDevice, deviceId, composeHash)
        );
        proxy = address(new ERC1967Proxy(appAuthImplementation, begin));
        apps[appId] = AppInfo(true, proxy);
        emit AppDeployedViaFactory(appId, proxy, msg.sender);
    }
}

/// An app of May 2025: it knows its own id, and does not announce the interface of the functions that it has.
contract DstackAppOfMay2025 is OwnableUpgradeable, UUPSUpgradeable {
    address public appId; // slot 0
    mapping(bytes32 => bool) public allowedComposeHashes; // slot 1
    bool private upgradesAreDisabled;
    bool public allowAnyDevice;
    mapping(bytes32 => bool) public allowedDeviceIds;

    event ComposeHashAdded(bytes32 composeHash);
    event ComposeHashRemoved(bytes32 composeHash);
    event DeviceAdded(bytes32 deviceId);
    event DeviceRemoved(bytes32 deviceId);

    function initialize(
        address owner_,
        address appId_,
        bool noUpgrades,
        bool anyDevice,
        bytes32 deviceId,
        bytes32 composeHash
    ) external initializer {
        __Ownable_init(owner_);
        appId = appId_;
        upgradesAreDisabled = noUpgrades;
        allowAnyDevice = anyDevice;
        if (deviceId != 0) {
            allowedDeviceIds[deviceId] = true;
            emit DeviceAdded(deviceId);
        }
        if (composeHash != 0) {
            allowedComposeHashes[composeHash] = true;
            emit ComposeHashAdded(composeHash);
        }
    }

    function addComposeHash(bytes32 composeHash) external onlyOwner {
        allowedComposeHashes[composeHash] = true;
        emit ComposeHashAdded(composeHash);
    }

    function removeComposeHash(bytes32 composeHash) external onlyOwner {
        allowedComposeHashes[composeHash] = false;
        emit ComposeHashRemoved(composeHash);
    }

    function addDevice(bytes32 deviceId) external onlyOwner {
        allowedDeviceIds[deviceId] = true;
        emit DeviceAdded(deviceId);
    }

    function removeDevice(bytes32 deviceId) external onlyOwner {
        allowedDeviceIds[deviceId] = false;
        emit DeviceRemoved(deviceId);
    }

    function isAppAllowed(AppBootInfo calldata boot) external view returns (bool isAllowed, string memory reason) {
        if (boot.appId != appId) return (false, "Wrong app controller");
        if (!allowedComposeHashes[boot.composeHash]) return (false, "Compose hash not allowed");
        if (!allowAnyDevice && !allowedDeviceIds[boot.deviceId]) return (false, "Device not allowed");
        return (true, "");
    }

    function _authorizeUpgrade(address) internal view override onlyOwner {
        require(!upgradesAreDisabled, "Upgrades are permanently disabled");
    }
}
