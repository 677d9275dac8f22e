// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {AppBootInfo, IAppAuth, IAppAuthBasicManagement} from "./DstackTypes.sol";

/// What both ownership variants of the app contract have in common.
///
/// OpenZeppelin 5 keeps its own state in namespaced storage, so the slots below start at 0: a caller that overrides
/// state in `eth_call` relies on that.
abstract contract DstackAppPolicy is OwnableUpgradeable, UUPSUpgradeable, IERC165, IAppAuth, IAppAuthBasicManagement {
    mapping(bytes32 => bool) public allowedComposeHashes; // slot 0
    bool private upgradesAreDisabled; // slot 1, byte 0
    bool public allowAnyDevice; // slot 1, byte 1
    mapping(bytes32 => bool) public allowedDeviceIds; // slot 2

    event AllowAnyDeviceSet(bool allowAny);
    event UpgradesDisabled();

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
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

    function setAllowAnyDevice(bool allowAny) external onlyOwner {
        allowAnyDevice = allowAny;
        emit AllowAnyDeviceSet(allowAny);
    }

    function disableUpgrades() external onlyOwner {
        upgradesAreDisabled = true;
        emit UpgradesDisabled();
    }

    function isAppAllowed(AppBootInfo calldata boot) external view returns (bool isAllowed, string memory reason) {
        if (_needsFreshTcb() && keccak256(bytes(boot.tcbStatus)) != keccak256("UpToDate")) {
            return (false, "TCB status is not up to date");
        }
        if (!allowedComposeHashes[boot.composeHash]) return (false, "Compose hash not allowed");
        if (!allowAnyDevice && !allowedDeviceIds[boot.deviceId]) return (false, "Device not allowed");
        return (true, "");
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == type(IERC165).interfaceId || id == type(IAppAuth).interfaceId
            || id == type(IAppAuthBasicManagement).interfaceId;
    }

    function _needsFreshTcb() internal view virtual returns (bool);

    function _begin(address owner_, bool noUpgrades, bool anyDevice, bytes32 deviceId, bytes32 composeHash) internal {
        require(owner_ != address(0), "invalid owner address");
        __Ownable_init(owner_);
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

    function _authorizeUpgrade(address) internal view override onlyOwner {
        require(!upgradesAreDisabled, "Upgrades are permanently disabled");
    }
}
